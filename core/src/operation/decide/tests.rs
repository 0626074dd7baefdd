//! Tables for what comes next, and laws for every journal that a world can produce.

use proptest::prelude::*;

use super::*;
use crate::EnvironmentState;
use crate::operation::journal::Output;
use crate::operation::kind::Kind;
use crate::operation::sample::environment;
use crate::operation::step::Step;

use Decision::{Apply, Done, Undo};
use Direction::{Back, Forward};

/// A plan with these steps; nothing else of it matters here.
fn plan(steps: &[Step]) -> Plan {
    Plan {
        format: crate::operation::plan::FORMAT,
        operation: "op".parse().unwrap(),
        kind: Kind::Switch,
        environment: Box::new(environment()),
        target: None,
        origin: None,
        previous: None,
        before: EnvironmentState::default(),
        stale: None,
        base: None,
        steps: steps.to_vec(),
    }
}

const SWITCH: [Step; 5] = [
    Step::AwaitReady,
    Step::Route,
    Step::Promote,
    Step::Drain,
    Step::Park,
];

fn journal(events: &[Event]) -> Vec<Entry> {
    let numbered = (1..).zip(events.iter().cloned());
    numbered
        .map(|(number, event)| Entry {
            number,
            at_ms: 0,
            event,
        })
        .collect()
}

fn after(events: &[Event]) -> Decision {
    decide(&plan(&SWITCH), &journal(events))
}

fn started(step: usize, direction: Direction) -> Event {
    Event::Started { step, direction }
}

fn succeeded(step: usize, direction: Direction) -> Event {
    Event::Succeeded {
        step,
        direction,
        output: Output::None,
    }
}

fn failed(step: usize, direction: Direction, fault: Fault) -> Event {
    Event::Failed {
        step,
        direction,
        fault,
        message: "no".to_owned(),
    }
}

/// The first `count` steps succeeded.
fn done(count: usize) -> Vec<Event> {
    (0..count)
        .flat_map(|step| [started(step, Forward), succeeded(step, Forward)])
        .collect()
}

/// `step` failed `times` times.
fn failing(step: usize, direction: Direction, fault: Fault, times: u32) -> Vec<Event> {
    (0..times)
        .flat_map(|_| [started(step, direction), failed(step, direction, fault)])
        .collect()
}

fn apply(step: usize, failures: u32) -> Decision {
    Apply { step, failures }
}

fn undo(step: usize, failures: u32) -> Decision {
    Undo { step, failures }
}

#[test]
fn steps_are_applied_in_order_until_all_succeeded() {
    for count in 0..SWITCH.len() {
        assert_eq!(after(&done(count)), apply(count, 0));
    }
    assert_eq!(after(&done(SWITCH.len())), Done(Outcome::Completed));
}

#[test]
fn a_step_that_began_and_never_answered_is_applied_again() {
    let crashed = [done(1), vec![started(1, Forward)]].concat();
    assert_eq!(after(&crashed), apply(1, 0));
}

#[test]
fn a_passing_fault_is_tried_again_and_counted() {
    for failures in 1..FORWARD_TRIES {
        let events = failing(0, Forward, Fault::Transient, failures);
        assert_eq!(after(&events), apply(0, failures));
    }
    let used_up = failing(0, Forward, Fault::Transient, FORWARD_TRIES);
    assert_eq!(after(&used_up), undo(0, 0));
}

#[test]
fn unwinding_begins_at_the_failing_step_itself() {
    let events = [done(1), failing(1, Forward, Fault::Permanent, 1)].concat();
    assert_eq!(after(&events), undo(1, 0));
    let events = [events, vec![started(1, Back), succeeded(1, Back)]].concat();
    assert_eq!(after(&events), undo(0, 0));
    let events = [events, vec![started(0, Back), succeeded(0, Back)]].concat();
    assert_eq!(after(&events), Done(Outcome::Undone));
}

#[test]
fn after_the_pivot_even_a_permanent_fault_is_tried_again_and_then_stuck() {
    for failures in 1..SETTLE_TRIES {
        let events = [done(3), failing(3, Forward, Fault::Permanent, failures)].concat();
        assert_eq!(after(&events), apply(3, failures));
    }
    let events = [done(3), failing(3, Forward, Fault::Permanent, SETTLE_TRIES)].concat();
    let stuck = Outcome::Stuck {
        step: 3,
        direction: Forward,
    };
    assert_eq!(after(&events), Done(stuck));
    let resumed = [events.clone(), vec![Event::Resumed]].concat();
    assert!(matches!(after(&resumed), Apply { step: 3, .. }));
    let resolved = Event::Resolved {
        step: 3,
        direction: Forward,
    };
    assert_eq!(after(&[events, vec![resolved]].concat()), apply(4, 0));
}

#[test]
fn a_failing_undo_is_stuck_and_can_be_resumed_or_resolved() {
    let unwinding = failing(0, Forward, Fault::Permanent, 1);
    let events = [unwinding, failing(0, Back, Fault::Permanent, SETTLE_TRIES)].concat();
    let stuck = Outcome::Stuck {
        step: 0,
        direction: Back,
    };
    assert_eq!(after(&events), Done(stuck));
    let resumed = [events.clone(), vec![Event::Resumed]].concat();
    assert_eq!(after(&resumed), undo(0, 0));
    let resolved = Event::Resolved {
        step: 0,
        direction: Back,
    };
    let resolved = [events, vec![resolved]].concat();
    assert_eq!(after(&resolved), Done(Outcome::Undone));
}

#[test]
fn resuming_never_turns_an_unwinding_operation_forward() {
    for fault in [Fault::Permanent, Fault::Transient] {
        let events = [
            failing(0, Forward, fault, FORWARD_TRIES),
            failing(0, Back, Fault::Transient, SETTLE_TRIES),
            vec![Event::Resumed],
        ]
        .concat();
        assert_eq!(after(&events), undo(0, 0));
    }
}

#[test]
fn a_cancel_counts_until_the_pivot_begins() {
    let cancel = vec![Event::CancelRequested];
    assert_eq!(after(&cancel), Done(Outcome::Undone));
    let events = [done(1), cancel.clone()].concat();
    assert_eq!(after(&events), undo(0, 0));
    let events = [done(1), vec![started(1, Forward)], cancel.clone()].concat();
    assert_eq!(after(&events), apply(1, 0));
    let events = [done(1), cancel.clone(), vec![started(1, Forward)]].concat();
    assert_eq!(after(&events), undo(1, 0));
    let events = [done(2), cancel].concat();
    assert_eq!(after(&events), apply(2, 0));
}

#[test]
fn a_cancel_after_the_last_step_changes_nothing() {
    let init = plan(&[Step::Reserve, Step::Stage]);
    let events = [done(2), vec![Event::CancelRequested]].concat();
    assert_eq!(decide(&init, &journal(&events)), Done(Outcome::Completed));
}

#[test]
fn an_operation_is_committed_from_the_moment_the_pivot_began() {
    let committed = |events: &[Event]| is_committed(&plan(&SWITCH), &journal(events));
    assert!(!committed(&[]));
    assert!(!committed(&done(1)));
    assert!(committed(&[done(1), vec![started(1, Forward)]].concat()));
    assert!(committed(&done(2)));
    let abort = plan(&[Step::Unstage, Step::Discard]);
    assert!(!is_committed(&abort, &[]));
    assert!(is_committed(&abort, &journal(&[started(0, Forward)])));
}

#[test]
fn waits_double_from_a_tenth_of_a_second_to_five() {
    let waits: Vec<_> = (0..9).map(|n| backoff(n).as_millis()).collect();
    assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(backoff(u32::MAX), Duration::from_secs(5));
}

/// What the world answers to one try, or what a user or a power cut does first.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Succeeds,
    Fails(Fault),
    Dies,
    Cancelled,
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        6 => Just(Answer::Succeeds),
        2 => Just(Answer::Fails(Fault::Transient)),
        1 => Just(Answer::Fails(Fault::Permanent)),
        1 => Just(Answer::Dies),
        1 => Just(Answer::Cancelled),
    ];
    prop::collection::vec(answer, 0..80)
}

/// Plans as they are: reversible steps, at most one pivot, then steps that are retried.
fn plans() -> impl Strategy<Value = Plan> {
    let undo = prop::collection::vec(Just(Step::Create), 0..6);
    // A deployment moves traffic long before its point of no return.
    let deployed = vec![Step::Route, Step::Drain, Step::Check];
    let pivot = prop_oneof![Just(vec![]), Just(vec![Step::Route]), Just(deployed)];
    let retry = prop::collection::vec(Just(Step::Park), 0..5);
    (undo, pivot, retry)
        .prop_map(|parts| plan(&[parts.0, parts.1, parts.2].concat()))
        .prop_filter("a plan has steps", |plan| !plan.steps.is_empty())
}

/// Plays `answers` to what `decide` asks for; what is stuck is resumed. Returns every journal on the way, and every
/// decision.
fn play(plan: &Plan, answers: &[Answer]) -> (Vec<Event>, Vec<Decision>) {
    let (mut events, mut decisions) = (Vec::new(), Vec::new());
    for answer in answers {
        let decision = decide(plan, &journal(&events));
        decisions.push(decision);
        let (step, direction) = match decision {
            Apply { step, .. } => (step, Forward),
            Undo { step, .. } => (step, Back),
            Done(Outcome::Stuck { .. }) => {
                events.push(Event::Resumed);
                continue;
            }
            Done(_) => break,
        };
        if matches!(answer, Answer::Cancelled) {
            events.push(Event::CancelRequested);
            continue;
        }
        events.push(started(step, direction));
        match answer {
            Answer::Succeeds => events.push(succeeded(step, direction)),
            Answer::Fails(fault) => events.push(failed(step, direction, *fault)),
            Answer::Dies | Answer::Cancelled => {}
        }
    }
    (events, decisions)
}

/// Goes on without a fault; the outcome and how many steps it took.
fn settle(plan: &Plan, mut events: Vec<Event>) -> (Outcome, usize) {
    for steps in 0..1000 {
        let (step, direction) = match decide(plan, &journal(&events)) {
            Apply { step, .. } => (step, Forward),
            Undo { step, .. } => (step, Back),
            Done(Outcome::Stuck { .. }) => {
                events.push(Event::Resumed);
                continue;
            }
            Done(outcome) => return (outcome, steps),
        };
        events.push(started(step, direction));
        events.push(succeeded(step, direction));
    }
    panic!("it never settles: {events:?}");
}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

proptest! {
    #[test]
    fn every_prefix_settles_within_64_steps_completed_or_undone(plan in plans(), answers in answers()) {
        let (events, _) = play(&plan, &answers);
        for cut in 0..=events.len() {
            let (outcome, steps) = settle(&plan, events[..cut].to_vec());
            prop_assert!(matches!(outcome, Outcome::Completed | Outcome::Undone));
            prop_assert!(steps <= 64, "{} steps", steps);
        }
    }

    #[test]
    fn the_same_journal_gives_the_same_answer(plan in plans(), answers in answers()) {
        let (events, _) = play(&plan, &answers);
        prop_assert_eq!(decide(&plan, &journal(&events)), decide(&plan, &journal(&events)));
    }

    #[test]
    fn it_never_turns_forward_again_and_never_goes_back_a_step(plan in plans(), answers in answers()) {
        let (_, decisions) = play(&plan, &answers);
        let mut forward = 0;
        let mut back = None;
        for decision in decisions {
            match decision {
                Apply { step, .. } => {
                    prop_assert!(back.is_none(), "applied while it unwinds");
                    prop_assert!(step >= forward, "step {} after {}", step, forward);
                    forward = step;
                }
                Undo { step, .. } => {
                    prop_assert!(back.is_none_or(|b| step <= b), "undone out of order");
                    back = Some(step);
                }
                Done(_) => {}
            }
        }
    }

    #[test]
    fn what_succeeded_is_never_done_again(plan in plans(), answers in answers()) {
        let (events, _) = play(&plan, &answers);
        for step in 0..plan.steps.len() {
            for direction in [Forward, Back] {
                let end = succeeded(step, direction);
                prop_assert!(count(&events, |e| *e == end) <= 1);
                let Some(at) = events.iter().position(|e| *e == end) else { continue };
                let again = started(step, direction);
                prop_assert_eq!(count(&events[at..], |e| *e == again), 0);
            }
        }
    }

    #[test]
    fn what_never_began_is_never_undone_and_the_rest_always_is(plan in plans(), answers in answers()) {
        let (mut events, _) = play(&plan, &answers);
        events.push(Event::CancelRequested);
        let (outcome, _) = settle(&plan, events.clone());
        let (back, _) = play_out(&plan, events);
        for step in 0..plan.steps.len() {
            let begun = back.contains(&started(step, Forward));
            let undone = back.contains(&succeeded(step, Back));
            prop_assert!(begun || !back.contains(&started(step, Back)));
            if outcome == Outcome::Undone && plan.class(step) != Class::Retry {
                prop_assert_eq!(begun, undone, "step {}", step);
            }
        }
    }

    #[test]
    fn after_the_pivot_succeeded_nothing_is_undone(plan in plans(), answers in answers()) {
        let (events, _) = play(&plan, &answers);
        let pivot = (0..plan.steps.len()).find(|s| plan.class(*s) == Class::Pivot);
        let Some(at) = pivot.and_then(|p| events.iter().position(|e| *e == succeeded(p, Forward))) else {
            return Ok(());
        };
        let undos = |e: &Event| matches!(e, Event::Started { direction: Back, .. });
        prop_assert_eq!(count(&events[at..], undos), 0);
        prop_assert_eq!(settle(&plan, events).0, Outcome::Completed);
    }

    #[test]
    fn an_end_stays_the_end(plan in plans(), answers in answers()) {
        let (events, _) = play_out(&plan, play(&plan, &answers).0);
        let end = decide(&plan, &journal(&events));
        let Done(outcome) = end else { return Err(TestCaseError::fail("it settled")) };
        for late in [Event::CancelRequested, Event::Resumed, Event::Finished { outcome }] {
            let mut events = events.clone();
            events.push(late);
            prop_assert_eq!(decide(&plan, &journal(&events)), end);
        }
    }

    #[test]
    fn no_journal_of_known_steps_makes_it_panic(events in prop::collection::vec(any_event(), 0..40)) {
        let _ = decide(&plan(&SWITCH), &journal(&events));
        let _ = is_committed(&plan(&SWITCH), &journal(&events));
    }
}

/// The journal to the end, without a fault.
fn play_out(plan: &Plan, mut events: Vec<Event>) -> (Vec<Event>, Decision) {
    loop {
        let decision = decide(plan, &journal(&events));
        let (step, direction) = match decision {
            Apply { step, .. } => (step, Forward),
            Undo { step, .. } => (step, Back),
            Done(Outcome::Stuck { .. }) => {
                events.push(Event::Resumed);
                continue;
            }
            Done(_) => return (events, decision),
        };
        events.push(started(step, direction));
        events.push(succeeded(step, direction));
    }
}

/// Any event at all about a step of `SWITCH`.
fn any_event() -> impl Strategy<Value = Event> {
    let direction = || prop_oneof![Just(Forward), Just(Back)];
    let fault = prop_oneof![Just(Fault::Transient), Just(Fault::Permanent)];
    let steps = 0..SWITCH.len();
    prop_oneof![
        (steps.clone(), direction()).prop_map(|(s, d)| started(s, d)),
        (steps.clone(), direction()).prop_map(|(s, d)| succeeded(s, d)),
        (steps.clone(), direction(), fault).prop_map(|(s, d, f)| failed(s, d, f)),
        (steps, direction()).prop_map(|(step, direction)| Event::Resolved { step, direction }),
        Just(Event::CancelRequested),
        Just(Event::Resumed),
    ]
}
