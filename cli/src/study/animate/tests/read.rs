//! Reads animations back: cells per frame from SVG and TikZ, pixels from GIF.

use super::super::drawing::CELL;

/// A cell as a file shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub y: i32,
    pub x: i32,
    pub role: String,
    pub text: String,
    pub note: String,
}

fn sorted(mut frames: Vec<Vec<Seen>>) -> Vec<Vec<Seen>> {
    frames.iter_mut().for_each(|frame| frame.sort());
    frames
}

/// What stands between two texts.
fn between<'a>(line: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = line.find(start)? + start.len();
    line[from..].find(end).map(|to| &line[from..from + to])
}

/// Cells by frame: those in groups `ta-b` are seen from frame a to frame b − 1.
pub fn svg_frames(text: &str, count: usize) -> Vec<Vec<Seen>> {
    let mut frames = vec![Vec::new(); count];
    let mut shown = 0..count;
    for line in text.lines() {
        if line.starts_with("<g") {
            shown = between(line, "class=\"t", "\"")
                .and_then(|span| span.split_once('-'))
                .map_or(0..count, |(a, b)| a.parse().unwrap()..b.parse().unwrap());
        }
        if !line.starts_with("<use") || line.contains("#k") {
            continue;
        }
        let number = |name: &str| between(line, &format!(" {name}=\""), "\"").unwrap().parse().unwrap();
        let after = |class: &str| {
            let from = line.find(class)?;
            between(&line[from..], ">", "<").map(str::to_owned)
        };
        let cell = Seen {
            x: number("x"),
            y: number("y"),
            role: between(line, "class=\"", "\"").unwrap().to_owned(),
            text: after(" cell").unwrap_or_default(),
            note: after(" note").unwrap_or_default(),
        };
        frames[shown.clone()].iter_mut().for_each(|frame| frame.push(cell.clone()));
    }
    sorted(frames)
}

/// Cells by tikzpicture.
pub fn tikz_frames(text: &str) -> Vec<Vec<Seen>> {
    let pictures = text.split("\\begin{tikzpicture}").skip(1);
    let plain = |text: &str| text.replace("$-$", "−").replace("$+$", "+").replace("$\\times$", "×");
    let cells = |picture: &str| {
        let calls = picture.lines().filter_map(|line| line.strip_prefix("\\convcell{")?.strip_suffix('}'));
        let cell = |call: &str| {
            let [x, y, role, text, note] = call.split("}{").collect::<Vec<_>>()[..] else { panic!("{call}") };
            let (text, note) = (plain(text), plain(note));
            Seen { x: x.parse().unwrap(), y: y.parse().unwrap(), role: role.to_owned(), text, note }
        };
        calls.map(cell).collect()
    };
    sorted(pictures.map(cells).collect())
}

pub struct Gif {
    pub size: [usize; 2],
    pub loops: bool,
    /// Hundredths of a second.
    pub delays: Vec<u32>,
    /// Whole pictures, row-major.
    pub frames: Vec<Vec<[u8; 3]>>,
}

/// Frames as a viewer composes them.
pub fn gif_frames(bytes: &[u8]) -> Gif {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(bytes).unwrap();
    let [width, height] = [decoder.width(), decoder.height()].map(usize::from);
    let mut shown = vec![[0; 3]; width * height];
    let (mut delays, mut frames) = (Vec::new(), Vec::new());
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        delays.push(frame.delay.into());
        for (i, pixel) in frame.buffer.chunks(4).enumerate() {
            let (row, column) = (i / usize::from(frame.width), i % usize::from(frame.width));
            if pixel[3] != 0 {
                shown[(usize::from(frame.top) + row) * width + usize::from(frame.left) + column] =
                    [pixel[0], pixel[1], pixel[2]];
            }
        }
        frames.push(shown.clone());
    }
    assert!(width as i32 > CELL && height as i32 > CELL);
    Gif { size: [width, height], loops: decoder.repeat() == gif::Repeat::Infinite, delays, frames }
}
