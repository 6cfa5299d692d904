//! What pictures of networks share: the kinds of operators with their colours, light and dark, widths of text, legends.

use crate::markup::{Svg, escaped};

/// Width of a character, at most, and height of a line of text.
pub const CHARACTER: f64 = 7.4;
pub const LINE: f64 = 16.0;
/// Space around a picture.
pub const MARGIN: f64 = 24.0;
/// Side of the square of a legend.
const SQUARE: f64 = 12.0;

/// A kind of operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Convolution,
    Transposed,
    Product,
    Pooling,
    Normalization,
    Elementwise,
    Movement,
    /// An input or an output of the network.
    End,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Convolution,
        Self::Transposed,
        Self::Product,
        Self::Pooling,
        Self::Normalization,
        Self::Elementwise,
        Self::Movement,
        Self::End,
    ];

    /// The kind of an operator, by the name that ONNX gives it.
    pub fn of(operator: &str) -> Self {
        match operator {
            "Conv" => Self::Convolution,
            "ConvTranspose" | "Col2Im" => Self::Transposed,
            "MatMul" | "Gemm" | "Einsum" => Self::Product,
            "Resize" | "Upsample" | "MaxUnpool" => Self::Pooling,
            "Softmax" | "LogSoftmax" | "Hardmax" | "LRN" | "TopK" | "ArgMax" | "ArgMin" | "CumSum" => {
                Self::Normalization
            }
            "Concat" | "Split" | "Slice" | "Pad" | "Transpose" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze"
            | "Identity" | "Dropout" | "Expand" | "Tile" | "DepthToSpace" | "SpaceToDepth" | "OneHot" | "Trilu"
            | "Scatter" | "Shape" | "Size" => Self::Movement,
            name if name.starts_with("Gather") || name.starts_with("Scatter") => Self::Movement,
            name if name.ends_with("Pool") => Self::Pooling,
            name if name.ends_with("Normalization") || name.starts_with("Reduce") => Self::Normalization,
            _ => Self::Elementwise,
        }
    }

    /// What it is called in a legend.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Convolution => "convolution",
            Self::Transposed => "transposed convolution",
            Self::Product => "matrix product",
            Self::Pooling => "pooling, resizing",
            Self::Normalization => "normalization, reduction",
            Self::Elementwise => "element by element",
            Self::Movement => "movement, shape",
            Self::End => "input, output",
        }
    }

    /// The class of its shapes.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Convolution => "c",
            Self::Transposed => "t",
            Self::Product => "p",
            Self::Pooling => "w",
            Self::Normalization => "n",
            Self::Elementwise => "e",
            Self::Movement => "m",
            Self::End => "io",
        }
    }

    /// Fill and outline, light and dark. Text on a fill has a contrast of at least 4.5 (WCAG 2.2, 1.4.3).
    const fn colours(self) -> [[&'static str; 2]; 2] {
        match self {
            Self::Convolution => [["#cfe3fb", "#1f6fc4"], ["#12365e", "#5aa7f5"]],
            Self::Transposed => [["#ffdcb3", "#c46a00"], ["#553000", "#ffa640"]],
            Self::Product => [["#e2d9f9", "#6a48c7"], ["#35235f", "#a98cf5"]],
            Self::Pooling => [["#c8efe1", "#0b8a62"], ["#0c4031", "#46c99c"]],
            Self::Normalization => [["#f9d3e3", "#c03a76"], ["#5a1c38", "#f27fae"]],
            Self::Elementwise => [["#f3ecc0", "#8d7a00"], ["#403804", "#d8c138"]],
            Self::Movement => [["#e6e8eb", "#6e7781"], ["#2d333b", "#8b949e"]],
            Self::End => [["#ffffff", "#1f2328"], ["#0d1117", "#e6edf3"]],
        }
    }
}

/// The style sheet.
pub fn style() -> String {
    let colours = |dark: usize| {
        let [page, text, muted, line] =
            [["#ffffff", "#1f2328", "#57606a", "#8c959f"], ["#0d1117", "#e6edf3", "#9da7b3", "#6e7681"]][dark];
        let mut css =
            format!(".page{{fill:{page}}}text{{fill:{text}}}.s{{fill:{muted}}}.l{{stroke:{line}}}.a{{fill:{line}}}");
        for kind in Kind::ALL {
            let [fill, stroke] = kind.colours()[dark];
            css += &format!(".{}{{fill:{fill};stroke:{stroke}}}", kind.class());
        }
        css
    };
    format!(
        "text{{font:12px ui-monospace,SFMono-Regular,Menlo,'DejaVu Sans Mono',monospace}}.h{{font-weight:600}}.s{{font-size:11px}}\
         .mid{{text-anchor:middle}}.l{{fill:none;stroke-width:1.3}}\
         {}@media (prefers-color-scheme:dark){{{}}}",
        colours(0),
        colours(1)
    )
}

/// A picture with its style sheet and a page of some colour.
pub fn start(width: f64, height: f64, title: &str) -> Svg {
    let (width, height) = (width.ceil(), height.ceil());
    let mut svg = Svg::new(width, height, title);
    svg.line(format_args!("<style>{}</style>", style()));
    svg.line(format_args!(r#"<rect class="page" width="{width}" height="{height}"/>"#));
    svg
}

/// The width that text takes at most.
pub fn text_width(text: &str) -> f64 {
    CHARACTER * text.chars().count() as f64
}

/// Text of at most so many characters; what is too long loses its middle.
pub fn shortened(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (start, end) = (kept - kept / 2, characters.len() - kept / 2);
    characters[..start].iter().chain(&['…']).chain(&characters[end..]).collect()
}

/// Marks with what they mean, in rows of some width.
pub struct Legend {
    entries: Vec<(String, String, f64, f64)>,
    pub height: f64,
}

impl Legend {
    /// Of marks of classes, with a text each.
    pub fn new(marks: impl IntoIterator<Item = (String, String)>, width: f64) -> Self {
        let (mut x, mut y) = (0.0, 0.0);
        let mut entries = Vec::new();
        for (class, text) in marks {
            let own = SQUARE + 6.0 + text_width(&text) + 18.0;
            if x > 0.0 && x + own > width {
                (x, y) = (0.0, y + LINE + 4.0);
            }
            entries.push((class, text, x, y));
            x += own;
        }
        let height = if entries.is_empty() { 0.0 } else { y + LINE + 4.0 };
        Self { entries, height }
    }

    pub fn draw(&self, svg: &mut Svg, left: f64, top: f64) {
        for (class, text, x, y) in &self.entries {
            let (x, y) = (left + x, top + y);
            svg.line(format_args!(
                r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{SQUARE}" height="{SQUARE}" rx="2"/><text x="{:.1}" y="{:.1}">{}</text>"#,
                x + SQUARE + 6.0,
                y + 10.5,
                escaped(text)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(shortened("abcdefgh", 8), "abcdefgh");
        assert_eq!(shortened("abcdefghi", 8), "abcd…ghi");
        assert_eq!(shortened("äöüß", 3), "ä…ß");
        assert_eq!(shortened("abc", 1), "…");
    }

    #[test]
    fn operators_have_kinds() {
        for (name, kind) in [
            ("Conv", Kind::Convolution),
            ("GlobalAveragePool", Kind::Pooling),
            ("ReduceMean", Kind::Normalization),
            ("Relu", Kind::Elementwise),
            ("GatherND", Kind::Movement),
        ] {
            assert_eq!(Kind::of(name), kind);
        }
    }

    #[test]
    fn text_stands_out_from_what_it_is_on() {
        // Relative luminance (WCAG 2.2).
        let luminance = |colour: &str| {
            let channel = |i: usize| f64::from(u8::from_str_radix(&colour[i..i + 2], 16).expect("hexadecimal")) / 255.0;
            let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
            0.2126 * linear(channel(1)) + 0.7152 * linear(channel(3)) + 0.0722 * linear(channel(5))
        };
        for kind in Kind::ALL {
            for (dark, texts) in [["#1f2328", "#57606a"], ["#e6edf3", "#9da7b3"]].into_iter().enumerate() {
                for text in texts {
                    let (a, b) = (luminance(text), luminance(kind.colours()[dark][0]));
                    let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                    assert!(contrast >= 4.5, "{kind:?} {dark} {text}: {contrast}");
                }
            }
        }
    }
}
