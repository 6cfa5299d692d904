//! The page: one HTML file, one stylesheet, and a script in parts that share one scope. Served as three files, or put together
//! in one. It knows no geometry.

use crate::markup::escaped;

const HTML: &str = include_str!("page/index.html");
pub const STYLE: &str = include_str!("page/style.css");
/// The parts in the order in which they build on each other.
pub const SCRIPT: &str = concat!(
    include_str!("page/answers.js"),
    include_str!("page/lighting.js"),
    include_str!("page/grids.js"),
    include_str!("page/picture.js"),
    include_str!("page/matrix.js"),
    include_str!("page/words.js"),
    include_str!("page/steps.js"),
    include_str!("page/controls.js"),
    include_str!("page/main.js"),
);

/// The page as it is served: style and script come from the same server, and from nowhere else.
pub fn served(start: &str) -> String {
    let head = r#"<link rel="stylesheet" href="style.css"><script src="script.js" defer></script>"#;
    filled(head, start, "")
}

/// The page as one file, with the answers that it looks up. Its policy lets it load nothing at all.
pub fn single(start: &str, answers: &str) -> String {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                  base-uri 'none'; form-action 'none'";
    let head = format!(r#"<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style>"#);
    // No `<` inside: nothing in the data can end the element.
    let answers = answers.replace('<', "\\u003c");
    let tail = format!(r#"<script type="application/json" id="answers">{answers}</script><script>{SCRIPT}</script>"#);
    filled(&head, start, &tail)
}

fn filled(head: &str, start: &str, tail: &str) -> String {
    HTML.replace("<!--head-->", head).replace("{{start}}", &escaped(start)).replace("<!--tail-->", tail)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::question::Question;
    use super::*;

    #[test]
    fn the_page_has_its_places() {
        for place in ["<!--head-->", "{{start}}", "<!--tail-->"] {
            assert_eq!(HTML.matches(place).count(), 1, "{place}");
        }
        let page = single("input=5x5&kernel=3", r#"{"a":"</script>"}"#);
        assert!(page.contains(r#"data-start="input=5x5&amp;kernel=3""#) && page.contains(r#""\u003c/script>""#));
        // In a script element the text ends at the first closing tag, wherever it stands.
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for text in [HTML, STYLE, SCRIPT] {
            assert!(!text.contains("//www.") && !text.contains("https:") && !text.contains("@import"));
            // The namespace of SVG is a name, not an address.
            let addresses = text.matches("http:").count() - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(addresses, 0);
        }
    }

    #[test]
    fn fields_are_options_in_the_order_of_a_query() {
        let command = Question::command();
        let names: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
        let fields: Vec<_> = HTML.split("data-option=\"").skip(1).filter_map(|text| text.split('"').next()).collect();
        for field in &fields {
            assert!(names.contains(field), "{field} is no option");
        }
        for (given, left_out) in [("output-size", "output-shape"), ("output-shape", "output-size")] {
            let query = format!(
                "transposed&input=4&kernel=2&stride=2&padding=1&dilation=2&output-padding=1&{given}=9&groups=2&in-channels=2\
                 &out-channels=2"
            );
            for (weights, absent) in [("kernel-values=1", "seed"), ("seed=1", "kernel-values")] {
                let query = format!("{query}&{weights}");
                assert_eq!(Question::parse(&query).unwrap().query(), query);
                let order: Vec<_> = query.split('&').skip(1).filter_map(|pair| pair.split('=').next()).collect();
                let wanted: Vec<_> =
                    fields.iter().copied().filter(|&name| name != left_out && name != absent).collect();
                assert_eq!(wanted, order);
            }
        }
    }
}
