use proptest::prelude::*;

use super::*;

/// A recipe of any numbers.
fn recipes() -> impl Strategy<Value = Recipe> {
    let number = || prop_oneof![4 => 1..100usize, 1 => 1..=usize::MAX];
    let estimate = || prop_oneof![Just(0.0), 0.0..1e12, (0..1_000_000u32).prop_map(|n| f64::from(n) / 1000.0)];
    let way =
        ([number(), number()], [number(), number(), number()], number(), any::<[bool; 5]>(), [estimate(), estimate()]);
    let way = way.prop_map(|([stacked, interleaved], block, chunks_per_cell, flags, [cycles, packing])| {
        let [d, h, w, is_scattered, is_listed] = flags;
        let cut = Cut { samples: Samples { stacked, interleaved }, block, by_valid_taps: [d, h, w] };
        Way { cut, chunks_per_cell, is_scattered, is_listed, cycles, packing, scratch: 0 }
    });
    let isa = || proptest::sample::select(Isa::ALL);
    let implicit_gemm = (isa(), number(), number(), prop::collection::vec(way, 1..4));
    prop_oneof![
        1 => Just(Recipe::Lowered),
        1 => isa().prop_map(|isa| Recipe::Depthwise { isa }),
        8 => implicit_gemm.prop_map(|(isa, channels_per_chunk, inputs_per_block, ways)| {
            Recipe::ImplicitGemm(ImplicitGemmRecipe { isa, channels_per_chunk, inputs_per_block, ways })
        }),
    ]
}

/// Estimates are no part of equality, so the text is compared too; it shows every digit of them.
fn check_round_trip(recipe: &Recipe) {
    let text = recipe.to_string();
    let read: Recipe = text.parse().unwrap();
    assert_eq!((&read, &*read.to_string()), (recipe, &*text));
    assert_eq!(format!("{read:?}"), format!("{recipe:?}"));
}

/// No word may be missing, and none may be added: a part of a recipe is none.
fn check_words(recipe: &Recipe, at: prop::sample::Index, added: &str) {
    let text = recipe.to_string();
    let words: Vec<&str> = text.split(' ').collect();
    let at = at.index(words.len());
    let mut fewer = words.clone();
    fewer.remove(at);
    // What may be left out, and a whole way.
    let is_flag = ["listed", "scattered"].contains(&words[at]);
    assert!(is_flag || fewer.join(" ").parse::<Recipe>().is_err(), "{text} without {}", words[at]);
    let mut more = words;
    more.insert(at, added);
    assert!(more.join(" ").parse::<Recipe>().is_err(), "{text} with {added} at {at}");
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(recipe in recipes()) {
        check_round_trip(&recipe);
    }

    #[test]
    fn every_word_counts(recipe in recipes(), at: prop::sample::Index, added in "[a-z0-9]{1,6}") {
        prop_assume!(!["listed", "scattered"].contains(&&*added));
        check_words(&recipe, at, &added);
    }
}

#[test]
fn the_form_is_the_documented_one() {
    let text = "implicit-gemm avx512 out 8 in 64 | samples 1×16 positions 1×8×9 chunks 4 taps hw listed scattered cycles 12345 \
                packing 0.31 | samples 1×1 positions 2×3×4 chunks 1 cycles 7 packing 0";
    let Recipe::ImplicitGemm(recipe) = text.parse().unwrap() else { panic!("{text}") };
    assert_eq!((recipe.isa, recipe.channels_per_chunk, recipe.inputs_per_block), (Isa::Avx512, 8, 64));
    let [first, second] = recipe.ways[..] else { panic!("{recipe:?}") };
    let samples = Samples { stacked: 1, interleaved: 16 };
    assert_eq!(first.cut, Cut { samples, block: [1, 8, 9], by_valid_taps: [false, true, true] });
    assert_eq!((first.chunks_per_cell, first.is_listed, first.is_scattered), (4, true, true));
    assert_eq!((first.cycles, first.packing), (12345.0, 0.31));
    assert_eq!((second.cut.block, second.is_listed, second.is_scattered), ([2, 3, 4], false, false));
    assert_eq!(Recipe::ImplicitGemm(recipe).to_string(), text);
    assert_eq!("depthwise portable".parse(), Ok(Recipe::Depthwise { isa: Isa::Portable }));
    assert_eq!("lowered".parse(), Ok(Recipe::Lowered));
}

#[test]
fn what_is_no_recipe_is_an_error_that_says_what_was_expected() {
    let way = "samples 1×1 positions 1×1×1 chunks 1 cycles 1 packing 0";
    let of = |way: &str| format!("implicit-gemm avx2 out 1 in 1 | {way}");
    assert!(of(way).parse::<Recipe>().is_ok());
    for (text, expected) in [
        (String::new(), "lowered, depthwise, implicit-gemm or filtered"),
        ("lower".to_owned(), "lowered, depthwise, implicit-gemm or filtered"),
        ("lowered avx2".to_owned(), "no more words"),
        ("depthwise sse".to_owned(), "the name of an instruction set"),
        ("implicit-gemm avx2 out 1 in 1".to_owned(), "|"),
        (of(&way.replace("1×1×1", "1×1")), "numbers from 1 on, with × between several"),
        (of(&way.replace("1×1×1", "1×0×1")), "numbers from 1 on, with × between several"),
        (of(&way.replace("chunks 1", "chunks -1")), "numbers from 1 on, with × between several"),
        (of(&way.replace("chunks 1", "chunks 1 taps wh")), "some axes of dhw, in that order"),
        (of(&way.replace("chunks 1", "chunks 1 taps")), "some axes of dhw, in that order"),
        (of(&way.replace("chunks 1", "chunks 1 scattered listed")), "cycles"),
        (of(&way.replace("cycles 1", "cycles NaN")), "a number that is not negative"),
        (of(&way.replace("cycles 1", "cycles inf")), "a number that is not negative"),
        (of(&way.replace("packing 0", "packing -1")), "a number that is not negative"),
        (of(&way.replace("positions", "rows")), "positions"),
    ] {
        assert_eq!(text.parse::<Recipe>(), Err(Error::RecipeText { text: text.clone(), expected }), "{text}");
    }
}
