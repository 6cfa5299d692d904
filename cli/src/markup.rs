//! Markup as text: the one place that escapes for XML and HTML and that knows what an SVG file begins and ends with.

use std::fmt::{Arguments, Display, Write};

/// Text for an element or for an attribute in double quotes, in XML and in HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// An SVG picture that is written element by element.
pub struct Svg(String);

impl Svg {
    /// A picture of that many pixels, with the title that screen readers read.
    pub fn new(width: impl Display, height: impl Display, title: &str) -> Self {
        let mut svg = Self(String::new());
        svg.line(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">"#
        ));
        svg.line(format_args!("<title>{}</title>", escaped(title)));
        svg
    }

    /// Markup, and the end of the line.
    pub fn line(&mut self, markup: Arguments) {
        self.part(markup);
        self.0.push('\n');
    }

    /// Markup that more follows on the same line.
    pub fn part(&mut self, markup: Arguments) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(markup);
    }

    /// The file's text.
    pub fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_markup_would_read_is_escaped() {
        assert_eq!(escaped(r#"a < b & "c" > d"#), "a &lt; b &amp; &quot;c&quot; &gt; d");
        let mut svg = Svg::new(3, 4, "x < y");
        svg.part(format_args!("<g>"));
        svg.line(format_args!("</g>"));
        let want = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 3 4\" width=\"3\" height=\"4\" role=\"img\">\n\
                    <title>x &lt; y</title>\n<g></g>\n</svg>\n";
        assert_eq!(svg.finish(), want);
    }
}
