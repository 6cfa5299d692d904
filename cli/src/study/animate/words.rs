//! Numbers, indices and the index relation in words. It knows no picture.

use convmat::Geometry;
use convmat::geometry::{Axis, Side};

/// The relation that every caption spells out.
pub const RELATION: &str = "small·stride + tap·dilation − begin = large";
/// Longest list of products in a caption, in characters.
const MAX_TERMS: usize = 62;

/// A number as short as it can be read: integers whole, others to three significant digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => return "0".to_owned(),
        _ if !(1e-3..1e6).contains(&size) => format!("{value:.0e}"),
        _ if value.fract() == 0.0 || size >= 1e2 => format!("{value:.0}"),
        _ if size >= 1e1 => format!("{value:.1}"),
        _ if size >= 1e0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    text.replace('-', "−")
}

/// A number with its sign, as something that is added.
pub fn signed(value: f64) -> String {
    let text = number(value);
    if text.starts_with('−') { text } else { format!("+{text}") }
}

fn factor(value: f64) -> String {
    let text = number(value);
    if text.starts_with('−') { format!("({text})") } else { text }
}

/// `w·x + w·x + …`, or how many products there are.
pub fn products(pairs: &[(f64, f64)]) -> String {
    let terms: Vec<_> = pairs.iter().map(|&(w, x)| format!("{}·{}", number(w), factor(x))).collect();
    let sum = terms.join(" + ").replace("+ −", "− ");
    match pairs.len() {
        0 => "0, as nothing reaches it".to_owned(),
        _ if sum.chars().count() <= MAX_TERMS => sum,
        count => format!("sum of {count} products"),
    }
}

/// The indices of the drawn axes, `(1, 2)`.
pub fn index(axes: usize, [h, w]: [isize; 2]) -> String {
    let text = |i: isize| i.to_string().replace('-', "−");
    if axes == 1 { format!("({})", text(w)) } else { format!("({}, {})", text(h), text(w)) }
}

/// The relation with the numbers of one element of `side`, a line per drawn axis. Elements of the large side are counted
/// from the first of `padded`, `before` of them ahead of index 0.
pub fn relations(
    axes: usize,
    padded: &Geometry<3>,
    before: [usize; 3],
    side: Side,
    position: [usize; 2],
) -> Vec<String> {
    let drawn: &[(usize, &str)] = if axes == 1 { &[(1, "")] } else { &[(0, "rows:  "), (1, "columns:  ")] };
    let line = |&(i, name): &(usize, &str)| {
        format!("{name}{}", relation(&padded.axes()[i + 1], before[i + 1], side, position[i]))
    };
    drawn.iter().map(line).collect()
}

fn relation(axis: &Axis, before: usize, side: Side, index: usize) -> String {
    let unpadded = |large: usize| large as isize - before as isize;
    let (mut smalls, mut taps, mut larges) = (Vec::new(), Vec::new(), Vec::new());
    match side {
        Side::Small => {
            smalls.push(index as isize);
            for (tap, large) in (0..axis.kernel()).filter_map(|tap| Some((tap, axis.large_at(index, tap)?))) {
                taps.push(tap as isize);
                larges.push(unpadded(large));
            }
        }
        Side::Large => {
            larges.push(unpadded(index));
            for link in axis.taps_of_large(index) {
                smalls.push(link.other as isize);
                taps.push(link.tap as isize);
            }
        }
    }
    if taps.is_empty() {
        return format!("no tap reaches {}", set(&larges));
    }
    let begin = before as isize + axis.begin();
    let begin = if begin < 0 { format!("+ {}", -begin) } else { format!("− {begin}") };
    let [smalls, taps, larges] = [smalls, taps, larges].map(|indices| set(&indices));
    format!("{smalls}·{} + {taps}·{} {begin} = {larges}", axis.stride(), axis.dilation())
}

/// `3`, `{1, 3, 5}` or `{0, 1, …, 8}`.
fn set(indices: &[isize]) -> String {
    let text = |i: &isize| i.to_string().replace('-', "−");
    match indices {
        [only] => text(only),
        [first, second, .., last] if indices.len() > 5 => {
            format!("{{{}, {}, …, {}}}", text(first), text(second), text(last))
        }
        _ => format!("{{{}}}", indices.iter().map(text).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_into_cells() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (7.0, "7"),
            (-12.0, "−12"),
            (123_456.0, "123456"),
            (0.5, "0.500"),
            (-1.25, "−1.25"),
            (31.415_9, "31.4"),
            (271.8, "272"),
            (1e7, "1e7"),
            (-2.5e-7, "−2e−7"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!((signed(3.0), signed(-3.0)), ("+3".to_owned(), "−3".to_owned()));
    }

    #[test]
    fn products_are_listed_while_they_fit() {
        assert_eq!(products(&[(1.0, 2.0), (-3.0, 4.0), (5.0, -6.0)]), "1·2 − 3·4 + 5·(−6)");
        assert_eq!(products(&[(100.0, 100.0); 9]), "sum of 9 products");
        assert_eq!(products(&[]), "0, as nothing reaches it");
    }

    #[test]
    fn relations_hold_number_by_number() {
        let axis = Axis::new(3, 5, 3, 2, 1, 1).unwrap().padded().unwrap();
        assert_eq!(relation(&axis, 1, Side::Small, 0), "0·2 + {0, 1, 2}·1 − 1 = {−1, 0, 1}");
        assert_eq!(relation(&axis, 1, Side::Large, 2), "{0, 1}·2 + {2, 0}·1 − 1 = 1");
        let cut = Axis::new(3, 5, 1, 1, 1, -1).unwrap().padded().unwrap();
        assert_eq!(relation(&cut, 0, Side::Small, 2), "2·1 + 0·1 + 1 = 3");
        assert_eq!(relation(&cut, 0, Side::Large, 0), "no tap reaches 0");
        let long = Axis::new(1, 9, 9, 1, 1, 0).unwrap();
        assert_eq!(relation(&long, 0, Side::Small, 0), "0·1 + {0, 1, …, 8}·1 − 0 = {0, 1, …, 8}");
    }
}
