//! A look at the hidden states as they pass: nobody looks but a parity check, which runs the model once inside
//! [`record`].

use std::cell::RefCell;

use tch::Tensor;

thread_local! {
    static SEEN: RefCell<Option<Vec<(String, Tensor)>>> = const { RefCell::new(None) };
}

/// Shows a state to whoever looks. The names: `tower.{n}` for hidden state n of the vision tower, `tower` for what it
/// hands on, `projector` for its rows, `decoder.{n}` for the state behind n blocks (0: the spliced input) and `logits`.
pub fn see(name: impl FnOnce() -> String, state: &Tensor) {
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen {
            seen.push((name(), state.shallow_clone()));
        }
    });
}

/// Runs `run` and gives what it gives, with every state it showed, in order.
pub fn record<T>(run: impl FnOnce() -> T) -> (T, Vec<(String, Tensor)>) {
    let before = SEEN.replace(Some(Vec::new()));
    let result = run();
    let seen = SEEN.replace(before).unwrap_or_default();
    (result, seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_seen_inside_and_not_outside() {
        let show = |name: &str| see(|| name.to_owned(), &Tensor::from_slice(&[1.0_f32]));
        show("before");
        let ((), seen) = record(|| {
            show("a");
            show("b");
        });
        show("after");
        assert_eq!(
            seen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(record(|| ()).1.is_empty());
    }
}
