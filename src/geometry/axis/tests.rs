use super::*;

/// Every axis of a small family, windows included.
fn family() -> impl Iterator<Item = Axis> {
    let lengths = [0usize, 1, 2, 5, 8];
    lengths.into_iter().flat_map(move |small| {
        lengths.into_iter().flat_map(move |large| {
            (1..=4).flat_map(move |kernel| {
                (1..=6).flat_map(move |stride| {
                    [1usize, 2, 3, 4, 6].into_iter().flat_map(move |dilation| {
                        (-4..=5).map(move |begin| Axis::new(small, large, kernel, stride, dilation, begin).unwrap())
                    })
                })
            })
        })
    })
}

/// The relation, literally.
fn holds(a: &Axis, small: usize, tap: usize, large: usize) -> bool {
    (small * a.stride) as isize + (tap * a.dilation) as isize - a.begin == large as isize
}

#[test]
fn every_query_agrees_with_the_relation_by_enumeration() {
    for a in family() {
        let triples: Vec<(usize, usize, usize)> = (0..a.small)
            .flat_map(|s| (0..a.kernel).flat_map(move |t| (0..a.large).map(move |l| (s, t, l))))
            .filter(|&(s, t, l)| holds(&a, s, t, l))
            .collect();
        assert_eq!(a.entries(), triples.len() as u128, "{a:?}");
        let is_read = |small| triples.iter().any(|x| x.0 == small);
        assert_eq!(a.has_small_without_taps(), !(0..a.small).all(is_read), "{a:?}");
        for small in 0..a.small + 1 {
            let want: Vec<usize> = triples.iter().filter(|x| x.0 == small).map(|x| x.1).collect();
            assert_eq!(a.taps_of_small(small).collect::<Vec<_>>(), want, "{a:?} small {small}");
            let read: Vec<usize> = triples.iter().filter(|x| x.0 == small).map(|x| x.2).collect();
            assert_eq!(a.larges_of_small(small).collect::<Vec<_>>(), read, "{a:?} small {small}");
            assert!((0..a.large + 2).all(|large| a.connects(small, large) == read.contains(&large)), "{a:?} {small}");
            for tap in 0..a.kernel + 1 {
                let want = triples.iter().find(|x| x.0 == small && x.1 == tap).map(|x| x.2);
                assert_eq!(a.large_at(small, tap), want, "{a:?}");
            }
        }
        for tap in 0..a.kernel + 1 {
            let want: Vec<usize> = triples.iter().filter(|x| x.1 == tap).map(|x| x.0).collect();
            assert_eq!(a.smalls_of_tap(tap).collect::<Vec<_>>(), want, "{a:?} tap {tap}");
            if tap < a.kernel {
                let first = triples.iter().find(|x| x.1 == tap).map_or(0, |x| x.2);
                assert_eq!(a.tap_range(tap).first_large, first, "{a:?} tap {tap}");
            }
        }
        for large in 0..a.large + 1 {
            let mut want: Vec<(usize, usize)> = triples.iter().filter(|x| x.2 == large).map(|x| (x.0, x.1)).collect();
            want.sort_unstable();
            let got: Vec<_> = a.taps_of_large(large).map(|link| (link.other, link.tap)).collect();
            assert_eq!(got, want, "{a:?} large {large}");
            for tap in 0..a.kernel + 1 {
                let want = triples.iter().find(|x| x.2 == large && x.1 == tap).map(|x| x.0);
                assert_eq!(a.small_at(large, tap), want, "{a:?}");
            }
        }
    }
}

#[test]
fn links_list_both_sides_in_order_of_the_other() {
    for a in family() {
        for side in [Side::Small, Side::Large] {
            let links = a.links(side);
            assert_eq!(links.len(), a.length(side));
            assert_eq!(links.is_empty(), a.length(side) == 0);
            assert_eq!((0..links.len()).map(|i| links.at(i).len() as u128).sum::<u128>(), a.entries());
            for index in 0..links.len() {
                let others: Vec<_> = links.at(index).map(|link| link.other).collect();
                assert!(others.windows(2).all(|pair| pair[0] < pair[1]), "{a:?}");
                for link in links.at(index) {
                    let (small, large) = if side == Side::Small { (index, link.other) } else { (link.other, index) };
                    assert!(holds(&a, small, link.tap, large));
                }
            }
            assert_eq!(links.at(links.len()).len(), 0);
        }
    }
}

#[test]
fn windows_keep_the_relation_and_needed_ranges_are_tight() {
    for a in family().filter(|a| a.small.max(a.large) <= 5) {
        for (s0, s1) in (0..=a.small).flat_map(|s0| (s0..=a.small).map(move |s1| (s0, s1))) {
            let touched: Vec<usize> =
                (s0..s1).flat_map(|s| (0..a.kernel).filter_map(move |t| a.large_at(s, t))).collect();
            let want = touched.iter().min().map_or(0..0, |&min| min..touched.iter().max().unwrap() + 1);
            assert_eq!(a.large_needed(s0..s1), want, "{a:?} {s0}..{s1}");
            for (l0, l1) in (0..=a.large).flat_map(|l0| (l0..=a.large).map(move |l1| (l0, l1))) {
                let w = a.window(s0..s1, l0..l1).unwrap();
                for (s, t, l) in
                    (s0..s1).flat_map(|s| (0..a.kernel).flat_map(move |t| (l0..l1).map(move |l| (s, t, l))))
                {
                    assert_eq!(w.large_at(s - s0, t) == Some(l - l0), holds(&a, s, t, l));
                }
            }
        }
        for (l0, l1) in (0..=a.large).flat_map(|l0| (l0..=a.large).map(move |l1| (l0, l1))) {
            let touched: Vec<usize> =
                (l0..l1).flat_map(|l| (0..a.kernel).filter_map(move |t| a.small_at(l, t))).collect();
            let want = touched.iter().min().map_or(0..0, |&min| min..touched.iter().max().unwrap() + 1);
            assert_eq!(a.small_needed(l0..l1), want, "{a:?} {l0}..{l1}");
        }
        assert!(a.window(0..a.small + 1, 0..0).is_err());
        assert!(a.window(0..0, 0..a.large + 1).is_err());
    }
}

#[test]
fn padded_axes_leave_no_tap_outside_and_nothing_out() {
    for a in family() {
        let (padded, before) = (a.padded().unwrap(), a.begin.max(0) as usize);
        assert!(padded.large >= a.large + before);
        let mut end = a.large + before;
        for (s, t) in (0..a.small).flat_map(|s| (0..a.kernel).map(move |t| (s, t))) {
            let landing = padded.large_at(s, t).expect("every tap lands inside");
            end = end.max(landing + 1);
            let unpadded = landing.checked_sub(before).filter(|&large| large < a.large);
            assert_eq!(a.large_at(s, t), unpadded, "{a:?} {s} {t}");
        }
        assert_eq!(padded.large, end, "{a:?} is padded by no more than it needs");
    }
    let far = Axis::new(LIMIT, 1, 1, 1, 1, 1).unwrap();
    assert_eq!(far.padded().unwrap().large, LIMIT);
    assert!(Axis::new(2, LIMIT, 1, 1, 1, 1).unwrap().padded().is_err());
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "a backwards range is what must be refused")]
fn impossible_axes_are_refused() {
    assert_eq!(Axis::new(1, 1, 0, 1, 1, 0), Err(Error::Zero { what: "kernel", axis: 0 }));
    assert_eq!(Axis::new(1, 1, 1, 0, 1, 0), Err(Error::Zero { what: "stride", axis: 0 }));
    assert_eq!(Axis::new(1, 1, 1, 1, 0, 0), Err(Error::Zero { what: "dilation", axis: 0 }));
    let overflow = Err(Error::Overflow { what: "an index of the convolution" });
    assert_eq!(Axis::new(usize::MAX, 1, 1, 2, 1, 0), overflow);
    assert_eq!(Axis::new(1, LIMIT + 1, 1, 1, 1, 0), overflow);
    assert_eq!(Axis::new(1, 1, 2, 1, LIMIT, 0), overflow);
    assert_eq!(Axis::new(1, 1, 1, 1, 1, isize::MIN), overflow);
    assert!(Axis::new(1, LIMIT, 1, 1, 1, 0).is_ok());
    let axis = Axis::new(LIMIT, LIMIT, 1, 1, LIMIT, -(LIMIT as isize)).unwrap();
    assert_eq!(axis.entries(), 0);
    assert!(Axis::new(3, 3, 1, 1, 1, 0).unwrap().window(2..1, 0..3).is_err());
}

#[test]
fn the_inverse_modulo_is_one() {
    for modulus in 1usize..40 {
        for a in 0..modulus {
            let (g, inverse) = gcd_and_inverse(a, modulus);
            assert!(a % g == 0 && modulus % g == 0);
            assert!(inverse < modulus / g);
            assert_eq!((a / g) * inverse % (modulus / g), 1 % (modulus / g), "{a} mod {modulus}");
        }
    }
}

#[test]
fn an_axis_says_what_it_was_made_of() {
    let a = Axis::new(2, 3, 4, 5, 6, -7).unwrap();
    assert_eq!((a.small(), a.large(), a.kernel(), a.stride(), a.dilation(), a.begin()), (2, 3, 4, 5, 6, -7));
    assert_eq!((a.length(Side::Small), a.length(Side::Large), a.extent()), (2, 3, 19));
}

#[test]
fn a_residue_class_holds_exactly_the_congruent_taps() {
    for a in family() {
        for large in 0..a.large {
            let congruent = |tap: &usize| {
                (large as isize + a.begin - (tap * a.dilation) as isize).rem_euclid(a.stride as isize) == 0
            };
            let want: Vec<usize> = (0..a.kernel).filter(congruent).collect();
            let class = a.residue_class(large);
            let got: Vec<usize> = class.into_iter().flat_map(|(first, step)| (first..a.kernel).step_by(step)).collect();
            assert_eq!(got, want, "{a:?} large {large}");
            assert_eq!(class.is_none(), want.is_empty(), "{a:?} large {large}");
        }
    }
}

#[test]
fn zero_insertion_turns_any_stride_into_one() {
    for a in family() {
        let (unit, flipped) = (a.with_unit_stride().unwrap(), a.flipped_unit_stride().unwrap());
        assert_eq!((unit.stride(), flipped.stride()), (1, 1));
        assert_eq!((unit.large(), flipped.small()), (a.large, a.large));
        assert_eq!(unit.small(), flipped.large());
        assert_eq!(unit.small(), if a.small == 0 { 0 } else { (a.small - 1) * a.stride + 1 });
        for (small, tap) in (0..a.small).flat_map(|small| (0..a.kernel).map(move |tap| (small, tap))) {
            let large = a.large_at(small, tap);
            assert_eq!(unit.large_at(small * a.stride, tap), large, "{a:?}");
            if let Some(large) = large {
                assert_eq!(flipped.large_at(large, a.kernel - 1 - tap), Some(small * a.stride), "{a:?}");
            }
        }
    }
}

#[test]
fn classes_and_their_steps_follow_from_the_relation() {
    for a in family().filter(|a| a.begin >= 0) {
        for (large, tap) in (0..a.large).flat_map(|large| (0..a.kernel).map(move |tap| (large, tap))) {
            // With small indices without end, a tap reaches a large index exactly if they are of one class.
            let distance = large as isize + a.begin - (tap * a.dilation) as isize;
            let reaches = distance.rem_euclid(a.stride as isize) == 0;
            assert_eq!(a.class_of_tap(tap) == a.class_of_large(large), reaches, "{a:?} {large} {tap}");
            // The next tap of the class, and how far its small index lies below.
            let next = (1..=a.stride).find(|step| (step * a.dilation).is_multiple_of(a.stride)).unwrap();
            assert_eq!((a.tap_step(), a.small_step()), (next, next * a.dilation / a.stride), "{a:?}");
        }
    }
}
