//! Many tests at once (Holm, Scandinavian Journal of Statistics 6, 1979): with the adjusted p-values compared with α,
//! the chance of any false verdict in the family is at most α, whatever the dependence between the tests.

/// The adjusted p-value of each of `p_values`, in their order: the largest of `(m − i) · pᵢ` over the values up to and
/// including it in ascending order, at most 1.
pub fn adjust(p_values: &[f64]) -> Vec<f64> {
    let mut ascending: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    ascending.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut highest = 0.0_f64;
    for (rank, (index, p)) in ascending.into_iter().enumerate() {
        highest = highest.max((p_values.len() - rank) as f64 * p).min(1.0);
        if let Some(slot) = adjusted.get_mut(index) {
            *slot = highest;
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_textbook_example() {
        // Holm 1979 as R's `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` gives it.
        let adjusted = adjust(&[0.01, 0.04, 0.03, 0.005]);
        for (ours, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((ours - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(adjust(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(adjust(&[]).is_empty());
    }
}
