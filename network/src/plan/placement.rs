//! Blocks of memory that do not live at the same time, in the same places. It knows lengths and lifetimes, no tensors.
//!
//! Blocks are placed by size, the largest first, each where it is lowest beside those that live when it does (Y. Pisarchyk, J. Lee,
//! *Efficient memory management for deep neural net inference*, 2020: "greedy by size"). Those are found in a tree over lifetimes, in
//! O(log n) for each that there is. Where thousands of blocks live at the same time, that is quadratic: once a budget of O(n) is
//! used up, a block lies on top of all that live with it, whose height a second tree knows, without a search for a gap below. So n
//! blocks take O(n log n) at any rate.

use std::ops::Range;

/// Blocks begin at multiples of so many elements: those of a cache line of floats.
const ALIGNMENT: usize = 16;

/// A block that is to be placed.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its elements.
    pub(super) len: usize,
    /// The moments at which it lives, one at least.
    pub(super) live: Range<usize>,
}

/// Where blocks begin, in their order, and the elements of all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) starts: Vec<usize>,
    pub(super) len: usize,
}

/// The places of blocks; nothing if they take more elements than can be counted.
pub(super) fn place(blocks: &[Block]) -> Option<Placement> {
    // Enough for gaps to be found everywhere among some thousand blocks that all live at the same time.
    place_within(blocks, (1 << 23) + 64 * blocks.len())
}

/// The same with a budget of nodes of the tree that are visited in search for gaps.
fn place_within(blocks: &[Block], mut budget: usize) -> Option<Placement> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|&number| std::cmp::Reverse(blocks[number].len));
    let mut placement = Placement { starts: vec![0; blocks.len()], len: 0 };
    let (mut placed, mut heights) = (Lives::new(blocks), Heights::new(blocks));
    let mut taken: Vec<Range<usize>> = Vec::new();
    for number in order {
        let block = &blocks[number];
        taken.clear();
        let is_complete = placed.overlapping(&block.live, &mut budget, &mut |other| {
            let start = placement.starts[other];
            taken.push(start..start + blocks[other].len);
        });
        let start = if is_complete {
            taken.sort_unstable_by_key(|range| (range.start, range.end));
            lowest_gap(&taken, block.len)?
        } else {
            heights.highest(&block.live).checked_next_multiple_of(ALIGNMENT)?
        };
        let end = start.checked_add(block.len)?;
        placement.starts[number] = start;
        placement.len = placement.len.max(end);
        placed.add(number, &block.live);
        heights.raise(&block.live, end);
    }
    Some(placement)
}

/// Where so many elements fit first beside ranges that are sorted by their start.
fn lowest_gap(taken: &[Range<usize>], len: usize) -> Option<usize> {
    let mut start = 0usize;
    for range in taken {
        if start.checked_add(len)? <= range.start {
            break;
        }
        start = start.max(range.end.checked_next_multiple_of(ALIGNMENT)?);
    }
    Some(start)
}

/// Lifetimes of blocks that have been placed: leaves of a binary tree in the order in which they start, each node with the last end
/// among those below it.
struct Lives {
    /// When lifetimes start, ascending.
    starts: Vec<usize>,
    /// The blocks in this order, and the place of each in it.
    blocks: Vec<usize>,
    places: Vec<usize>,
    /// Leaves of the tree; node n has the children 2n and 2n + 1, and the root is node 1.
    leaves: usize,
    ends: Vec<usize>,
}

impl Lives {
    fn new(all: &[Block]) -> Self {
        let mut blocks: Vec<usize> = (0..all.len()).collect();
        blocks.sort_by_key(|&number| all[number].live.start);
        let mut places = vec![0; all.len()];
        blocks.iter().enumerate().for_each(|(place, &number)| places[number] = place);
        let leaves = all.len().next_power_of_two();
        let starts = blocks.iter().map(|&number| all[number].live.start).collect();
        Self { starts, blocks, places, leaves, ends: vec![0; 2 * leaves] }
    }

    fn add(&mut self, number: usize, live: &Range<usize>) {
        let mut node = self.leaves + self.places[number];
        while node > 0 {
            self.ends[node] = self.ends[node].max(live.end);
            node /= 2;
        }
    }

    /// Visits the blocks that live at one of some moments; `false` if the budget does not suffice.
    fn overlapping(&self, live: &Range<usize>, budget: &mut usize, visit: &mut impl FnMut(usize)) -> bool {
        let before = self.starts.partition_point(|&start| start < live.end);
        self.descend(1, 0..self.leaves, before, live.start, budget, visit)
    }

    fn descend(
        &self,
        node: usize,
        leaves: Range<usize>,
        before: usize,
        after: usize,
        budget: &mut usize,
        visit: &mut impl FnMut(usize),
    ) -> bool {
        if leaves.start >= before || self.ends[node] <= after {
            return true;
        }
        if *budget == 0 {
            return false;
        }
        *budget -= 1;
        if leaves.len() == 1 {
            visit(self.blocks[leaves.start]);
            return true;
        }
        let middle = leaves.start + leaves.len() / 2;
        self.descend(2 * node, leaves.start..middle, before, after, budget, visit)
            && self.descend(2 * node + 1, middle..leaves.end, before, after, budget, visit)
    }
}

/// How high blocks reach at every moment: a binary tree over moments.
struct Heights {
    moments: usize,
    /// What all moments below a node reach at least.
    of_all: Vec<usize>,
    /// What one of them reaches.
    of_one: Vec<usize>,
}

impl Heights {
    fn new(blocks: &[Block]) -> Self {
        let moments = blocks.iter().map(|block| block.live.end).max().unwrap_or(0).next_power_of_two();
        Self { moments, of_all: vec![0; 2 * moments], of_one: vec![0; 2 * moments] }
    }

    /// Lets the moments reach a height at least.
    fn raise(&mut self, live: &Range<usize>, height: usize) {
        self.raise_below(1, 0..self.moments, live, height);
    }

    fn raise_below(&mut self, node: usize, moments: Range<usize>, live: &Range<usize>, height: usize) {
        if live.end <= moments.start || moments.end <= live.start {
            return;
        }
        self.of_one[node] = self.of_one[node].max(height);
        if live.start <= moments.start && moments.end <= live.end {
            self.of_all[node] = self.of_all[node].max(height);
            return;
        }
        let middle = moments.start + moments.len() / 2;
        self.raise_below(2 * node, moments.start..middle, live, height);
        self.raise_below(2 * node + 1, middle..moments.end, live, height);
    }

    /// What the highest of some moments reaches.
    fn highest(&self, live: &Range<usize>) -> usize {
        self.highest_below(1, 0..self.moments, live)
    }

    fn highest_below(&self, node: usize, moments: Range<usize>, live: &Range<usize>) -> usize {
        if live.end <= moments.start || moments.end <= live.start {
            return 0;
        }
        if live.start <= moments.start && moments.end <= live.end {
            return self.of_one[node];
        }
        let middle = moments.start + moments.len() / 2;
        let [low, high] = [(2 * node, moments.start..middle), (2 * node + 1, middle..moments.end)]
            .map(|(node, moments)| self.highest_below(node, moments, live));
        self.of_all[node].max(low).max(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::testing::Noise;

    /// Greedy by size, looking at every block for every block.
    fn literal(blocks: &[Block]) -> Placement {
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(blocks[number].len));
        let mut placement = Placement { starts: vec![0; blocks.len()], len: 0 };
        for (placed, &number) in order.iter().enumerate() {
            let (len, live) = (blocks[number].len, &blocks[number].live);
            let is_beside = |other: usize| blocks[other].live.start < live.end && live.start < blocks[other].live.end;
            let beside: Vec<Range<usize>> = order[..placed]
                .iter()
                .filter(|&&other| is_beside(other))
                .map(|&other| placement.starts[other]..placement.starts[other] + blocks[other].len)
                .collect();
            let fits = |start: usize| beside.iter().all(|of| start + len <= of.start || of.end <= start);
            let ends = beside.iter().map(|of| of.end.next_multiple_of(ALIGNMENT));
            let start = std::iter::once(0).chain(ends).filter(|&start| fits(start)).min().unwrap();
            placement.starts[number] = start;
            placement.len = placement.len.max(start + len);
        }
        placement
    }

    fn random(noise: &mut Noise, count: usize, moments: usize, longest: usize) -> Vec<Block> {
        let block = |_| {
            let start = noise.below(moments);
            Block { len: 1 + noise.below(200), live: start..start + 1 + noise.below(longest) }
        };
        (0..count).map(block).collect()
    }

    #[test]
    fn blocks_lie_where_a_search_among_all_puts_them() {
        let mut noise = Noise(5);
        for round in 0..300 {
            let blocks = random(&mut noise, round % 40, 1 + round % 30, 1 + round % 12);
            assert_eq!(place(&blocks).unwrap(), literal(&blocks), "{blocks:?}");
        }
    }

    #[test]
    fn no_two_that_live_at_the_same_time_overlap_whatever_the_budget() {
        let mut noise = Noise(6);
        for budget in [0, 10, 100, 1000] {
            for _ in 0..50 {
                let blocks = random(&mut noise, 60, 30, 12);
                let placement = place_within(&blocks, budget).unwrap();
                for (a, start_a) in blocks.iter().zip(&placement.starts) {
                    assert!(start_a + a.len <= placement.len && start_a % ALIGNMENT == 0);
                    let overlapping = blocks.iter().zip(&placement.starts).filter(|(b, start_b)| {
                        a.live.start < b.live.end && b.live.start < a.live.end // They live at the same time …
                            && *start_a < *start_b + b.len && **start_b < start_a + a.len // … at the same place.
                    });
                    assert_eq!(overlapping.count(), 1, "only a block itself: {blocks:?}");
                }
            }
        }
    }

    #[test]
    fn many_blocks_that_live_together_are_placed_without_looking_at_all_for_each() {
        let count = 100_000;
        let blocks: Vec<Block> = (0..count).map(|i| Block { len: 16 + i % 64, live: i..2 * count }).collect();
        let before = std::time::Instant::now();
        let placement = place(&blocks).unwrap();
        // 5·10⁹ pairs would take a minute at least in this build.
        assert!(before.elapsed().as_secs() < 30, "{:?}", before.elapsed());
        let all: usize = blocks.iter().map(|block| block.len.next_multiple_of(ALIGNMENT)).sum();
        assert!(placement.len <= all);
    }

    #[test]
    fn lengths_that_cannot_be_counted_are_found() {
        let block = |len| Block { len, live: 0..1 };
        assert_eq!(place(&[block(usize::MAX), block(1)]), None);
        assert_eq!(place(&[]), Some(Placement { starts: vec![], len: 0 }));
        assert_eq!(place(&[block(0), block(0)]).unwrap().len, 0);
    }
}
