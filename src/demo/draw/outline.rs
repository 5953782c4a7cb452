//! The six shapes as sets of points. All are measured from their centre, x to the right, y down.

use crate::demo::world::Shape;

/// Corners in thousandths of the radius.
const STAR: [[i32; 2]; 10] = [
    [0, -1050],
    [265, -364],
    [999, -324],
    [428, 139],
    [617, 850],
    [0, 450],
    [-617, 850],
    [-428, 139],
    [-999, -324],
    [-265, -364],
];
const TRIANGLE: [[i32; 2]; 3] = [[0, -1000], [1050, 850], [-1050, 850]];

/// Whether a shape of that radius takes in the point.
pub fn covers(shape: Shape, x: i32, y: i32, radius: i32) -> bool {
    match shape {
        Shape::Circle => x * x + y * y <= radius * radius,
        Shape::Square => 8 * x.abs().max(y.abs()) <= 7 * radius,
        Shape::Diamond => 4 * x.abs() + 3 * y.abs() <= 3 * radius + radius / 6,
        Shape::Triangle => in_polygon(&TRIANGLE, x, y, radius),
        Shape::Star => in_polygon(&STAR, x, y, radius),
        Shape::Heart => in_heart(x, y, radius),
    }
}

/// By the even-odd rule: a ray to the right crosses the outline an odd number of times.
fn in_polygon(corners: &[[i32; 2]], x: i32, y: i32, radius: i32) -> bool {
    let (x, y) = (i64::from(x) * 1000, i64::from(y) * 1000);
    let corner = |at: usize| {
        let [x, y] = corners.get(at % corners.len()).copied().unwrap_or_default();
        [i64::from(x) * i64::from(radius), i64::from(y) * i64::from(radius)]
    };
    let crossed = (0..corners.len()).filter(|at| {
        let ([from_x, from_y], [to_x, to_y]) = (corner(*at), corner(at + 1));
        if (from_y > y) == (to_y > y) {
            return false;
        }
        let side = (x - from_x) * (to_y - from_y) - (to_x - from_x) * (y - from_y);
        (side < 0) == (to_y > from_y)
    });
    crossed.count() % 2 == 1
}

/// (x² + y² - 1)³ ≤ x² y³ with y up, in 256ths of a unit.
fn in_heart(x: i32, y: i32, radius: i32) -> bool {
    let radius = i64::from(radius.max(1));
    let x = i64::from(x) * 290 / radius;
    let y = 30 - i64::from(y) * 290 / radius;
    let ring = x * x + y * y - 256 * 256;
    ring * ring * ring <= x * x * y * y * y * 256
}
