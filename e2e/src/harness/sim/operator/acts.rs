//! The acts of an operator, one at a time, as `act` does them: what becomes of a write, and of an order.

use super::{Given, OperatorTrouble, Operators, Step, TICKETS};
use crate::harness::sim::{
    Check, Simulation,
    kubernetes::{Kubernetes, pods},
    node::Node,
    planted::Planted,
    queue::{Action, MILLI, SECOND},
};
use std::collections::BTreeSet;
use strata_base::StoreId;
use strata_node::host::Event;
use strata_node_api::{Answer, MemberRole, Order, OrderKind, RefusalClass, ShardReport, ShardRole};
use strata_operator::{decide::Act, limits::NODE_DEADLINE, names::ANNOTATION_FINGERPRINT, observation::SecretsFact};

impl Simulation {
    /// Does one act, unless the operator is killed before it.
    pub(super) fn do_next_act(&mut self, process: u64) {
        let Some(operators) = &mut self.operators else { return };
        if let Some((acts, micros)) = operators.doom {
            if acts == 0 {
                operators.doom = None;
                operators.processes.clear();
                self.tell("the operator is killed");
                return self.queue.after(micros, Action::ReplaceOperator);
            }
            operators.doom = Some((acts - 1, micros));
        }
        let Some(pass) = self.pass_of(process) else { return };
        let Some(act) = pass.acts.pop_front() else { return self.end_pass(process) };
        match act {
            Act::IssueCertificates => {
                let is_done = self.write(|kubernetes| kubernetes.secrets = SecretsFact { authority: true, certificates: true });
                if !is_done {
                    return self.fail_pass(process);
                }
            }
            Act::Apply(object) => {
                let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
                let name = object.metadata.name.clone().unwrap_or_default();
                let annotations = object.metadata.annotations.unwrap_or_default();
                let fingerprint = annotations.get(ANNOTATION_FINGERPRINT).cloned().unwrap_or_default();
                let is_done = self.write(|kubernetes| drop(kubernetes.applied.insert((kind, name), fingerprint)));
                if let Some(pass) = self.pass_of(process).filter(|_| !is_done) {
                    pass.has_failed = true;
                }
            }
            Act::Persist => {
                if !self.persist(process) {
                    return self.fail_pass(process);
                }
            }
            Act::Order { pod, order, .. } => return self.give_order(process, &pod, *order),
            Act::Restart { pod } => {
                let is_done = self.restart(process, &pod);
                if let Some(pass) = self.pass_of(process).filter(|_| !is_done) {
                    pass.has_failed = true;
                }
            }
        }
        self.next_act(process);
    }

    /// Writes to Kubernetes. Whether the writer hears that it was done.
    fn write(&mut self, change: impl FnOnce(&mut Kubernetes)) -> bool {
        let now = self.queue.now();
        let Some(operators) = &mut self.operators else { return false };
        if operators.kubernetes.is_away(now) {
            return false;
        }
        let OperatorTrouble { lost, unheard, .. } = operators.trouble;
        let chance = self.draws.operator.u64(..1_000);
        if chance >= lost {
            change(&mut operators.kubernetes);
        }
        chance >= lost + unheard
    }

    /// Writes the status that was decided. Whether the writer hears that it was done.
    fn persist(&mut self, process: u64) -> bool {
        let Some(pass) = self.pass_of(process) else { return false };
        let (read, Some(status)) = (pass.cluster.clone(), pass.status.clone()) else { return false };
        let before = self.operators.as_ref().map(|operators| operators.kubernetes.status()).unwrap_or_default();
        let (mut is_written, is_blind) = (false, self.planted == Some(Planted::BlindWrites));
        let is_heard = self.write(|kubernetes| is_written = kubernetes.replace_status(&read, &status, is_blind));
        if is_written {
            self.status_changed(&before, &status);
        }
        is_heard && is_written
    }

    /// Gives an order, and waits for the answer.
    fn give_order(&mut self, process: u64, pod: &str, order: Order) {
        let Some(operators) = &mut self.operators else { return };
        let Some(at) = operators.processes.get_mut(&process) else { return };
        let identity = at.identity.clone();
        operators.next_ticket += 1;
        let (ticket, trouble) = (operators.next_ticket, operators.trouble);
        let Some(pass) = &mut at.pass else { return };
        pass.asked = Some(ticket);
        let uid = pass.cluster.metadata.uid.clone().unwrap_or_default();
        let Some(node) = pods(&pass.cluster).iter().position(|known| known == pod) else { return };
        if let Err(sentence) = operators.lives.note_order(&uid, &identity, &order) {
            return self.breaks(Check::Operator.says(sentence));
        }
        operators.given.insert(ticket, Given { process, order: order.clone(), obeyed_before: 0 });
        let (life, draws) = (self.nodes[node].life, &mut self.draws.operator);
        let (is_dropped, is_late) = (draws.u64(..1_000) < trouble.dropped, draws.u64(..1_000) < trouble.late);
        let (delay, later) = (draws.u64(MILLI..10 * MILLI), draws.u64(..4 * SECOND));
        if !is_dropped {
            self.queue.after(delay, Action::Order { node, life, order: Box::new(order.clone()), ticket });
        }
        if is_late {
            // A request that was given up arrives all the same.
            self.queue.after(later, Action::Order { node, life, order: Box::new(order), ticket });
        }
        self.step_after(process, NODE_DEADLINE.as_micros() as u64, Step::Unanswered { ticket });
    }

    /// An order reaches its node, if anything does.
    pub(in crate::harness::sim) fn order_arrives(&mut self, node: usize, order: Order, ticket: u64) {
        if !self.is_reached(node) {
            return;
        }
        if let Some(operators) = &mut self.operators {
            let obeyed = operators.lives.obeyed(order.store);
            if let Some(given) = operators.given.get_mut(&ticket) {
                given.obeyed_before = obeyed;
            }
        }
        self.arrive(node, Event::Order { order: Box::new(order), ticket });
    }

    /// A node answers an order, of an operator or not. Whether it was one's.
    pub(in crate::harness::sim) fn operator_answered(&mut self, ticket: u64, answer: &Answer) -> bool {
        if ticket < TICKETS {
            return false;
        }
        let Some(operators) = &mut self.operators else { return false };
        let Some(given) = operators.given.get(&ticket) else { return true };
        let process = given.process;
        let judged = operators.lives.note_answer(given, answer);
        if let Answer::Refused { class, message } = answer {
            self.tell(format!("  refused ({class}): {message}"));
            if *class == RefusalClass::Invalid && self.operators.as_ref().is_some_and(|operators| !operators.may_be_invalid(ticket)) {
                self.breaks(Check::Operator.says(format!("an order makes no sense: {message}")));
            }
        }
        if let Err(sentence) = judged {
            self.breaks(Check::Operator.says(sentence));
        }
        self.go_on_after(process, ticket);
        true
    }

    pub(super) fn go_on_after(&mut self, process: u64, ticket: u64) {
        let is_awaited = self.pass_of(process).is_some_and(|pass| pass.asked.take_if(|asked| *asked == ticket).is_some());
        if is_awaited {
            self.next_act(process);
        }
    }

    /// Deletes the pod that the pass looked at, and no successor of it; its StatefulSet makes it anew. Whether the operator hears that it was done.
    fn restart(&mut self, process: u64, pod: &str) -> bool {
        let Some(pass) = self.pass_of(process) else { return false };
        let Some(node) = pods(&pass.cluster).iter().position(|known| known == pod) else { return false };
        let (uid, mut is_deleted) = (pass.pods[node].object.uid, false);
        let sentence = self.left_without_quorum(process, node);
        let is_heard = self.write(|kubernetes| is_deleted = kubernetes.delete_pod(node, uid));
        if is_deleted {
            sentence.into_iter().for_each(|sentence| self.breaks(Check::Operator.says(sentence)));
            if self.nodes[node].host.is_some() {
                let pause = self.draws.operator.u64(100 * MILLI..SECOND);
                self.crash_for(node, pause);
            }
        }
        is_heard
    }

    /// What is wrong with a restart of a node: a shard has no quorum besides, and was without it when the pass began. What broke since, nobody
    /// could know.
    fn left_without_quorum(&mut self, process: u64, node: usize) -> Option<String> {
        let pass = self.pass_of(process)?;
        let ended: Vec<Option<u64>> = pass.pods.iter().map(|pod| pod.ended_life).collect();
        let gone = |(at, of): (usize, &Node)| at == node || (of.host.is_none() && ended.get(at) == Some(&Some(of.life)));
        let gone: BTreeSet<StoreId> = self.nodes.iter().enumerate().filter(|of| gone(*of)).map(|(_, of)| of.store()).collect();
        let own = self.nodes[node].store();
        let reports = self.nodes.iter().filter_map(|node| node.host.as_ref()).map(|host| host.report());
        let led = reports.flat_map(|report| report.shards).filter(|replica| replica.role == ShardRole::Leader);
        let is_left_without = |replica: &ShardReport| {
            let voters: Vec<StoreId> =
                replica.members.iter().filter(|member| member.role == MemberRole::Voter).map(|member| member.store).collect();
            let here = voters.iter().filter(|store| !gone.contains(store)).count();
            voters.len() > 1 && voters.contains(&own) && here < voters.len() / 2 + 1
        };
        let shard = led.into_iter().find(is_left_without)?.shard;
        Some(format!("node {node} is restarted for a rollout, and shard {shard} has no quorum without it"))
    }
}

impl Operators {
    /// Whether an order may make no sense by the time it arrives: its member is gone meanwhile.
    fn may_be_invalid(&self, ticket: u64) -> bool {
        let order = self.given.get(&ticket).map(|given| &given.order.order);
        matches!(order, Some(OrderKind::TransferLeader { .. }))
    }
}
