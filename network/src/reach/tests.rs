use super::*;

/// The positions of outputs, one by one.
fn literal(relation: &Relation, outputs: Range<i64>, element: impl Fn(i64) -> Option<i64>) -> Option<Range<i64>> {
    let positions = outputs.flat_map(|output| {
        let (period, advance) = (relation.taps.len() as i64, relation.advance);
        let taps = relation.taps[output.rem_euclid(period) as usize];
        (0..taps.count as i64).map(move |k| output.div_euclid(period) * advance + taps.first + k * taps.step)
    });
    positions.filter_map(element).map(|at| at..at + 1).reduce(joined)
}

#[test]
fn ranges_hold_what_single_outputs_reach() {
    let taps = |first, step, count| Taps { first, step, count };
    for (advance, classes) in [
        (1, vec![taps(0, 1, 1)]),
        (2, vec![taps(-3, 3, 3)]),
        (-1, vec![taps(6, 1, 2)]),
        (1, vec![taps(0, 1, 1), taps(-1, 2, 3), taps(0, 1, 0)]),
        (3, vec![taps(1, 1, 0), taps(-2, 4, 2)]),
    ] {
        let relation = Relation::new(0, 7, advance, classes);
        for (start, end) in (-4..9i64).flat_map(|start| (start..14).map(move |end| (start, end))) {
            let outputs = start..end;
            assert_eq!(relation.reach(outputs.clone()), literal(&relation, outputs.clone(), Some), "{outputs:?}");
            for (border, element) in [
                (Border::Constant, (|at| (0..7).contains(&at).then_some(at)) as fn(i64) -> Option<i64>),
                (Border::Edge, |at| Some(at.clamp(0, 6))),
            ] {
                let relation = relation.clone().border(border);
                let want = literal(&relation, outputs.clone(), element);
                assert_eq!(relation.reach_within(outputs.clone()), want, "{outputs:?} {relation:?}");
            }
        }
    }
    let shift = Relation::shift(0, 4, -9);
    for outputs in (0..20i64).flat_map(|start| (start..22).map(move |end| start..end)) {
        let wrapped = literal(&shift, outputs.clone(), |at| Some(at.rem_euclid(4)));
        assert_eq!(shift.clone().border(Border::Wrap).reach_within(outputs.clone()), wrapped, "{outputs:?}");
        // 0 1 2 3 2 1, again and again.
        let mirrored = literal(&shift, outputs.clone(), |at| Some([0, 1, 2, 3, 2, 1][at.rem_euclid(6) as usize]));
        assert_eq!(shift.clone().border(Border::Reflect).reach_within(outputs.clone()), mirrored, "{outputs:?}");
    }
}

#[test]
fn numbers_out_of_range_do_no_harm() {
    let wild = Taps { first: i64::MIN, step: i64::MAX, count: usize::MAX };
    let relation = Relation::new(0, usize::MAX, i64::MAX, vec![wild]);
    assert!(relation.reach(-5..i64::MAX).is_some());
    assert!(relation.reach_within(0..3).is_some());
    let none = Relation::new(0, 5, 1, vec![]);
    assert_eq!((none.reach(0..4), none.reach_within(0..4)), (None, None));
    assert_eq!(Relation::shift(0, 0, 0).border(Border::Wrap).reach_within(0..4), None);
    assert_eq!(Relation::shift(0, 1, 0).border(Border::Reflect).reach_within(-2..4), Some(0..1));
}

#[test]
fn reshapes_keep_join_and_split_axes() {
    let axes = |shape: &[usize], output: &[usize]| match Reach::reshaped(shape, output) {
        Reach::Axes(axes) => axes,
        other => panic!("{other:?}"),
    };
    assert_eq!(axes(&[2, 1, 5], &[2, 5]), [AxisReach::same(0, 2), AxisReach::Fixed(0..1), AxisReach::same(1, 5)]);
    let [AxisReach::Along(outer), AxisReach::Along(inner)] = &axes(&[3, 4], &[12])[..] else { panic!("joined") };
    assert_eq!((outer.reach(9..10), inner.reach(9..10)), (Some(2..3), Some(1..2)));
    let [AxisReach::Along(split)] = &axes(&[12], &[3, 4])[..] else { panic!("split") };
    assert_eq!((split.axis(), split.reach(1..3)), (0, Some(4..12)));
    assert_eq!(axes(&[4, 6], &[6, 4]), [AxisReach::Whole, AxisReach::Whole]);
    assert_eq!(axes(&[1, 2, 3, 1], &[1, 6, 1])[3], AxisReach::same(2, 1));
    assert_eq!(Reach::reshaped(&[1, 4], &[1, 4]), Reach::same(&[1, 4]));
    assert_eq!(Reach::reshaped(&[0, 4], &[4, 0]), Reach::Everything);
}
