//! What sequences begin with, read once.
//!
//! In alphabetical order, sequences that begin alike are neighbours. Going through them, a sequence joins the group
//! before it if that saves more tokens than waiting for the next one would. Groups whose common beginnings are equally long
//! go together, so that no padding stands inside a row.

use super::{BATCH_TOKENS, Piece};

/// A common beginning that is worth the trouble.
const LEAST: usize = 3;

/// Groups that are scored together.
pub(super) struct Batch {
    /// The ids that every sequence of a group begins with.
    pub(super) prefix: usize,
    /// The sequences, by number.
    pub(super) groups: Vec<Vec<usize>>,
}

/// Two or more sequences and the length of what they begin with.
pub(super) struct Group {
    prefix: usize,
    members: Vec<usize>,
}

/// The groups, and the sequences that are in none.
pub(super) fn groups(pieces: &[Piece<'_>]) -> (Vec<Group>, Vec<usize>) {
    let scored = |i: &usize| !pieces[*i].scored.is_empty();
    let (mut order, mut alone): (Vec<usize>, Vec<usize>) = (0..pieces.len()).partition(scored);
    order.sort_by(|&a, &b| pieces[a].ids.cmp(pieces[b].ids));
    let common = |a: usize, b: usize| {
        let (a, b) = (&pieces[a], &pieces[b]);
        let read = a.read().min(b.read());
        a.ids[..read].iter().zip(&b.ids[..read]).take_while(|(a, b)| a == b).count()
    };
    let mut groups: Vec<Group> = Vec::new();
    for (n, &i) in order.iter().enumerate() {
        let next = order.get(n + 1).map_or(0, |&next| common(i, next));
        if let Some(group) = groups.last_mut() {
            let m = group.members.len();
            let prefix = group.prefix.min(common(group.members[m - 1], i));
            if prefix >= LEAST && m * prefix >= (m - 1) * group.prefix + next {
                group.prefix = prefix;
                group.members.push(i);
                continue;
            }
        }
        groups.push(Group { prefix: pieces[i].read(), members: vec![i] });
    }
    let (single, groups): (Vec<Group>, Vec<Group>) =
        groups.into_iter().partition(|g| g.members.len() == 1);
    alone.extend(single.into_iter().flat_map(|g| g.members));
    (groups, alone)
}

/// Which groups go together.
pub(super) fn batches(pieces: &[Piece<'_>], mut groups: Vec<Group>) -> Vec<Batch> {
    let longest = |g: &Group| g.members.iter().map(|&i| pieces[i].ids.len()).max().unwrap_or(0);
    groups.sort_by_key(|g| (g.prefix, std::cmp::Reverse(longest(g))));
    let mut batches: Vec<Batch> = Vec::new();
    let (mut rows, mut length) = (0, 0);
    for group in groups {
        let more = group.members.len();
        match batches.last_mut() {
            Some(batch)
                if batch.prefix == group.prefix && (rows + more) * length <= BATCH_TOKENS =>
            {
                rows += more;
                batch.groups.push(group.members);
            }
            _ => {
                (rows, length) = (more, longest(&group));
                batches.push(Batch { prefix: group.prefix, groups: vec![group.members] });
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_prefix__pairs_find_each_other() {
        let rows: [&[u32]; 7] = [
            &[0, 1, 2, 3, 4],
            &[0, 5, 6, 7, 7, 7],
            &[0, 1, 2, 3, 9, 9],
            &[0, 5, 6, 7, 8],
            &[0, 8, 8],
            &[0],
            &[0, 5, 1],
        ];
        let pieces: Vec<Piece<'_>> =
            rows.iter().map(|ids| Piece { ids, scored: 1..ids.len() }).collect();
        let (found, mut alone) = groups(&pieces);
        alone.sort_unstable();
        assert_eq!(alone, [4, 5, 6]);
        let found: Vec<_> = found.iter().map(|g| (g.prefix, g.members.clone())).collect();
        assert_eq!(found, [(4, vec![0, 2]), (4, vec![1, 3])]);
        let (again, _) = groups(&pieces);
        assert_eq!(batches(&pieces, again).len(), 1, "equally long beginnings go together");
    }
}
