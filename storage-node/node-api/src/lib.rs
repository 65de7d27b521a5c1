//! Reports and orders: the only wire types that operator and storage node share.
//!
//! ```text
//! operator ──GET  /v1/report──► node      what it is, what it holds, what ails it
//! operator ──POST /v1/orders──► node      one order, for an epoch; the answer says whether it is done
//! ```
//!
//! JSON over HTTP over mutual TLS. Unknown fields of a report are ignored, so that an older operator reads a newer node; unknown fields of an
//! order are refused, so that an older node never half-obeys.
//!
//! - Every order names the epoch it was made for. A node refuses an epoch below the highest it has obeyed ([`RefusalClass::StaleEpoch`]).
//! - Every order may be given twice. The second time it is [`Answer::Done`] and changes nothing.
//! - An order that takes long is [`Answer::Accepted`]; reports show how far it is.
//!
//! Not done here, and why: no client and no server. Both sides own their I/O; this crate is what they must agree on.

mod order;
mod report;

pub use order::{
    Answer, ArchiveClaim, ArchivePlace, Member, MemberChange, MemberRole, NodeAddress, Order, OrderKind, RefusalClass, RestoreOrder,
    RestoreShard, ShardOrigin,
};
pub use report::{
    ArchiveReport, CheckpointReport, Checkpointing, ClaimState, ComparisonReport, ComparisonState, DiskReport, Heard, NodeState,
    ObjectProblem, Problem, ProblemClass, Progress, Report, RestoreReport, RestoreState, ShardArchive, ShardReport, ShardRole,
};

/// Where a node serves its report.
pub const REPORT_PATH: &str = "/v1/report";

/// Where a node takes orders.
pub const ORDERS_PATH: &str = "/v1/orders";

/// The longest order or report, in bytes; longer ones are refused unread.
pub const BODY_BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use strata_base::{Epoch, IncarnationId, ShardId, SlotRange, StoreId, TableId};

    fn order(kind: OrderKind) -> Order {
        Order { epoch: Epoch(3), cluster: "c".into(), incarnation: IncarnationId(1), store: StoreId(2), order: kind }
    }

    #[test]
    fn an_order_reads_as_it_was_written() {
        let members = vec![Member { peer: strata_base::PeerId(1), store: StoreId(2), role: MemberRole::Voter }];
        let given = order(OrderKind::CreateShard { shard: ShardId(7), table: TableId(0), slots: SlotRange::ALL, members, origin: None });
        let text = serde_json::to_string(&given).expect("an order is JSON");
        assert!(text.contains(r#""kind":"createShard","shard":"0000000000000007""#), "{text}");
        assert_eq!(serde_json::from_str::<Order>(&text).expect("reads back"), given);
    }

    /// Every line of a fixture reads as it did, and as what is written of it reads.
    fn check<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str) {
        strata_golden::check_fixture(format!("testdata/format/v1/{name}.txt"), |text| {
            let read: T = serde_json::from_str(text).expect("what an older build wrote is read");
            let written = serde_json::to_string(&read).expect("it is JSON");
            assert_eq!(serde_json::from_str::<T>(&written).expect("reads back"), read);
            format!("{read:?}")
        });
    }

    #[test]
    fn bodies_of_version_1_mean_what_they_meant() {
        check::<Order>("orders");
        check::<Report>("reports");
        check::<Answer>("answers");
    }

    #[test]
    fn an_order_with_slots_that_are_no_range_is_refused() {
        let whole = order(OrderKind::CreateShard {
            shard: ShardId(7),
            table: TableId(0),
            slots: SlotRange::ALL,
            members: Vec::new(),
            origin: None,
        });
        let text = serde_json::to_string(&whole).expect("an order is JSON");
        for last in ["16384", "65535"] {
            let error = serde_json::from_str::<Order>(&text.replace("16383", last)).expect_err("must be refused");
            assert!(error.to_string().contains(last), "{error}");
        }
    }

    #[test]
    fn an_order_with_an_unknown_field_is_refused_by_name() {
        let text = serde_json::to_string(&order(OrderKind::EvictLeaders { for_millis: 5 })).expect("an order is JSON");
        let error = serde_json::from_str::<Order>(&text.replace("forMillis", "forever")).expect_err("must be refused");
        assert!(error.to_string().contains("forever"), "{error}");
    }
}
