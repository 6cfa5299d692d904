//! TikZ frames: a LaTeX document with one tikzpicture, and so one page, per frame.
//!
//! Cells are calls of one macro, `\convcell{x}{y}{role}{text}{note}`, so that a lecturer can restyle all of them at once.

use std::fmt::Write;

use super::drawing::{Anchor, CELL, Drawing, Mark, Style};
use super::scene::Role;
use super::theme::{Palette, dashed};

/// The document.
pub fn encode(drawing: &Drawing, palette: &Palette) -> String {
    let mut out = preamble(drawing, palette);
    for (i, marks) in drawing.frames.iter().enumerate() {
        let _ = writeln!(out, "% frame {} of {}", i + 1, drawing.frames.len());
        out.push_str("\\begin{tikzpicture}[x=0.6pt,y=-0.6pt]\n");
        let _ = writeln!(out, "\\fill[convpage] (0,0) rectangle ({},{});", drawing.width, drawing.height);
        marks.iter().for_each(|mark| command(mark, &mut out));
        out.push_str("\\end{tikzpicture}\n");
    }
    out.push_str("\\end{document}\n");
    out
}

fn preamble(drawing: &Drawing, palette: &Palette) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "% {}", latex(&drawing.title));
    out.push_str(
        "% One page per frame. In a talk: \\includegraphics<3>[page=3]{THIS FILE AS PDF}\n\
         \\documentclass[tikz,border=0pt]{standalone}\n",
    );
    for (name, colour) in
        [("page", palette.page), ("text", palette.text), ("muted", palette.muted), ("accent", palette.accent)]
    {
        let _ = writeln!(out, "\\definecolor{{conv{name}}}{{HTML}}{{{}}}", colour.hex().to_uppercase());
    }
    for role in Role::ALL.into_iter().skip(1) {
        let (name, ink) = (role.name(), palette.ink(role));
        for (part, colour) in [("fill", ink.fill), ("draw", ink.stroke), ("text", ink.text)] {
            let _ = writeln!(out, "\\definecolor{{{name}-{part}}}{{HTML}}{{{}}}", colour.hex().to_uppercase());
        }
        let dash = if dashed(role) { ",dash pattern=on 2.4pt off 1.8pt" } else { "" };
        let _ = writeln!(out, "\\tikzset{{conv-{name}/.style={{fill={name}-fill,draw={name}-draw{dash}}}}}");
    }
    let _ = write!(
        out,
        "% \\convcell{{x}}{{y}}{{role}}{{text}}{{note}}: a cell, and \\convswatch one of the legend\n\
         \\newcommand{{\\convcell}}[5]{{%\n\
         \\path[conv-#3,rounded corners=2pt] (#1+1,#2+1) rectangle (#1+{far},#2+{far});\n\
         \\node[text=#3-text,inner sep=0pt,font=\\sffamily\\small] at (#1+{half},#2+{half}) {{#4}};\n\
         \\node[text=#3-text,inner sep=0pt,anchor=south east,font=\\sffamily\\tiny] at (#1+{corner},#2+{corner}) {{#5}};}}\n\
         \\newcommand{{\\convswatch}}[3]{{\\path[conv-#3,rounded corners=1pt] (#1,#2) rectangle (#1+16,#2+16);}}\n\
         \\newcommand{{\\convcross}}[2]{{\\draw[cropped-draw] (#1+4,#2+{cross}) -- (#1+{cross},#2+4);}}\n\
         \\begin{{document}}\n",
        far = CELL - 1,
        half = CELL / 2,
        corner = CELL - 4,
        cross = CELL - 4,
    );
    out
}

fn command(mark: &Mark, out: &mut String) {
    let _ = match mark {
        Mark::Cell { x, y, side, role, .. } if *side != CELL => {
            writeln!(out, "\\convswatch{{{x}}}{{{y}}}{{{}}}", role.name())
        }
        Mark::Cell { x, y, role, text, note, .. } => {
            let _ = writeln!(out, "\\convcell{{{x}}}{{{y}}}{{{}}}{{{}}}{{{}}}", role.name(), latex(text), latex(note));
            if *role == Role::Cropped { writeln!(out, "\\convcross{{{x}}}{{{y}}}") } else { Ok(()) }
        }
        Mark::Text { x, y, anchor, style, text } => {
            let anchor = match anchor {
                Anchor::Start => "west",
                Anchor::Middle => "center",
                Anchor::End => "east",
            };
            let colour = if style.is_muted() { "convmuted" } else { "convtext" };
            let font = font(*style);
            writeln!(
                out,
                "\\node[text={colour},inner sep=0pt,anchor={anchor},font=\\sffamily{font}] at ({x},{y}) {{{}}};",
                latex(text)
            )
        }
        Mark::Outline { x, y, width, height } => writeln!(
            out,
            "\\draw[convaccent,line width=1.5pt,rounded corners=2pt] ({x},{y}) rectangle ({},{});",
            x + width,
            y + height
        ),
        Mark::Arrow { from, to } => {
            writeln!(out, "\\draw[convaccent,->] ({},{}) -- ({},{});", from[0], from[1], to[0], to[1])
        }
    };
}

const fn font(style: Style) -> &'static str {
    match style {
        Style::Title => "\\small\\bfseries",
        Style::Caption | Style::Relation => "\\footnotesize",
        Style::PanelTitle => "\\scriptsize\\bfseries",
        Style::Step | Style::Legend => "\\scriptsize",
        Style::Label => "\\tiny",
        Style::Sign => "\\large",
    }
}

/// The text in ASCII, signs as mathematics.
fn latex(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '−' => out.push_str("$-$"),
            '·' => out.push_str("$\\cdot$"),
            '×' => out.push_str("$\\times$"),
            '∗' => out.push_str("$\\ast$"),
            '→' => out.push_str("$\\to$"),
            '…' => out.push_str("\\ldots{}"),
            'Σ' => out.push_str("$\\Sigma$"),
            'ᵀ' => out.push_str("$^{\\mathsf{T}}$"),
            '=' | '+' => {
                let _ = write!(out, "${letter}$");
            }
            '{' | '}' | '#' | '$' | '%' | '&' | '_' => {
                let _ = write!(out, "\\{letter}");
            }
            _ => out.push(letter),
        }
    }
    out
}
