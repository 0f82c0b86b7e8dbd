//! What the lanes of a warp do together: shuffles (PTX ISA 9.7.9.6) and votes (9.7.13.11).

use super::{Kind, Meaning, Row, Shuffle, Vote};

pub(super) fn rows() -> Vec<Row> {
    let shuffle =
        |pattern, how| Row::new(pattern, "9.7.9.6", "*", Meaning::Shuffle(how), Kind::Warp);
    let vote = |pattern, operands, how| {
        Row::new(pattern, "9.7.13.11", operands, Meaning::Vote(how), Kind::Warp)
    };
    vec![
        shuffle("shfl.sync.up.b32", Shuffle::Up),
        shuffle("shfl.sync.down.b32", Shuffle::Down),
        shuffle("shfl.sync.bfly.b32", Shuffle::Butterfly),
        shuffle("shfl.sync.idx.b32", Shuffle::Index),
        vote("vote.sync.all.pred", "pred pred b32", Vote::All),
        vote("vote.sync.any.pred", "pred pred b32", Vote::Any),
        vote("vote.sync.ballot.b32", "b32 pred b32", Vote::Ballot),
    ]
}
