//! Recipes as text, printed and read back.

use std::fmt;
use std::str::FromStr;

use super::{FilteredRecipe, ImplicitGemmRecipe, Recipe, Way};
use crate::engine::panel::Samples;
use crate::engine::schedule::Cut;
use crate::error::Error;
use crate::kernel::Isa;

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lowered => f.write_str("lowered"),
            Self::ImplicitGemm(recipe) => write!(f, "{recipe}"),
            Self::Filtered(recipe) => write!(f, "{recipe}"),
            Self::Depthwise { isa } => write!(f, "depthwise {isa}"),
        }
    }
}

impl fmt::Display for ImplicitGemmRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "implicit-gemm {} out {} in {}", self.isa, self.channels_per_chunk, self.inputs_per_block)?;
        self.ways.iter().try_for_each(|way| write!(f, " | {way}"))
    }
}

impl fmt::Display for FilteredRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { isa, tile: [d, h, w], channels_per_chunk, inputs_per_block, ways } = self;
        write!(f, "filtered {isa} tile {d}×{h}×{w} out {channels_per_chunk} in {inputs_per_block}")?;
        ways.iter().try_for_each(|way| write!(f, " | {way}"))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { samples: Samples { stacked, interleaved }, block: [d, h, w], by_valid_taps } = self.cut;
        write!(f, "samples {stacked}×{interleaved} positions {d}×{h}×{w} chunks {}", self.chunks_per_cell)?;
        if by_valid_taps.contains(&true) {
            f.write_str(" taps ")?;
            let axes = AXES.into_iter().zip(by_valid_taps).filter(|(_, is_split)| *is_split);
            axes.map(|(name, _)| name).try_for_each(|name| write!(f, "{name}"))?;
        }
        for (word, is_said) in [(" listed", self.is_listed), (" scattered", self.is_scattered)] {
            f.write_str(if is_said { word } else { "" })?;
        }
        // Numbers print with as many digits as it takes to read the same ones.
        write!(f, " cycles {} packing {}", self.cycles, self.packing)
    }
}

/// Names of depth, height and width.
const AXES: [char; 3] = ['d', 'h', 'w'];

impl FromStr for Recipe {
    type Err = Error;

    /// # Errors
    /// [`Error::RecipeText`] for text that is no recipe.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut words = RecipeWords { text, left: text.split_whitespace().peekable() };
        let recipe = match words.next() {
            "lowered" => Self::Lowered,
            "depthwise" => Self::Depthwise { isa: words.isa()? },
            "implicit-gemm" => Self::ImplicitGemm(words.implicit_gemm()?),
            "filtered" => Self::Filtered(words.filtered()?),
            _ => return Err(words.expected("lowered, depthwise, implicit-gemm or filtered")),
        };
        match words.left.peek() {
            None => Ok(recipe),
            Some(_) => Err(words.expected("no more words")),
        }
    }
}

/// The words of a recipe that are not read yet.
struct RecipeWords<'a> {
    text: &'a str,
    left: std::iter::Peekable<std::str::SplitWhitespace<'a>>,
}

impl<'a> RecipeWords<'a> {
    fn expected(&self, expected: &'static str) -> Error {
        Error::RecipeText { text: self.text.to_owned(), expected }
    }

    /// The next word; an empty one at the end.
    fn next(&mut self) -> &'a str {
        self.left.next().unwrap_or_default()
    }

    /// Whether a word comes next, which is then read.
    fn has(&mut self, word: &str) -> bool {
        self.left.next_if(|next| *next == word).is_some()
    }

    /// The word behind a word that must come next.
    fn after(&mut self, word: &'static str) -> Result<&'a str, Error> {
        if self.has(word) { Ok(self.next()) } else { Err(self.expected(word)) }
    }

    fn isa(&mut self) -> Result<Isa, Error> {
        self.next().parse().map_err(|_| self.expected("the name of an instruction set"))
    }

    /// Whole numbers from 1 on, with × between them.
    fn numbers<const N: usize>(&mut self, word: &'static str) -> Result<[usize; N], Error> {
        let numbers =
            self.after(word)?.split('×').map(|number| number.parse::<usize>().ok().filter(|&number| number > 0));
        let numbers: Option<Vec<usize>> = numbers.collect();
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
        numbers.ok_or_else(|| self.expected("numbers from 1 on, with × between several"))
    }

    /// A finite number that is not negative.
    fn estimate(&mut self, word: &'static str) -> Result<f64, Error> {
        let number = self.after(word)?.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| self.expected("a number that is not negative"))
    }

    fn implicit_gemm(&mut self) -> Result<ImplicitGemmRecipe, Error> {
        let isa = self.isa()?;
        let ([channels_per_chunk], [inputs_per_block]) = (self.numbers("out")?, self.numbers("in")?);
        Ok(ImplicitGemmRecipe { isa, channels_per_chunk, inputs_per_block, ways: self.ways()? })
    }

    fn filtered(&mut self) -> Result<FilteredRecipe, Error> {
        let (isa, tile) = (self.isa()?, self.numbers("tile")?);
        let ([channels_per_chunk], [inputs_per_block]) = (self.numbers("out")?, self.numbers("in")?);
        Ok(FilteredRecipe { isa, tile, channels_per_chunk, inputs_per_block, ways: self.ways()? })
    }

    /// One way or more.
    fn ways(&mut self) -> Result<Vec<Way>, Error> {
        let mut ways = Vec::new();
        while self.has("|") {
            ways.push(self.way()?);
        }
        if ways.is_empty() { Err(self.expected("|")) } else { Ok(ways) }
    }

    fn way(&mut self) -> Result<Way, Error> {
        let [stacked, interleaved] = self.numbers("samples")?;
        let block = self.numbers("positions")?;
        let [chunks_per_cell] = self.numbers("chunks")?;
        let mut by_valid_taps = [false; 3];
        if self.left.peek() == Some(&"taps") {
            let axes = self.after("taps")?;
            by_valid_taps = AXES.map(|name| axes.contains(name));
            let in_order = AXES.iter().zip(by_valid_taps).filter(|(_, is_split)| *is_split).map(|(name, _)| *name);
            if axes.is_empty() || in_order.collect::<String>() != axes {
                return Err(self.expected("some axes of dhw, in that order"));
            }
        }
        let (is_listed, is_scattered) = (self.has("listed"), self.has("scattered"));
        let (cycles, packing) = (self.estimate("cycles")?, self.estimate("packing")?);
        let cut = Cut { samples: Samples { stacked, interleaved }, block, by_valid_taps };
        // How much scratch memory it takes depends on the layer.
        Ok(Way { cut, chunks_per_cell, is_scattered, is_listed, cycles, packing, scratch: 0 })
    }
}

#[cfg(test)]
mod tests;
