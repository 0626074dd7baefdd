//! The recipes as text, and what is refused.

use super::*;
use crate::environment::caches::RedisCache;
use crate::operation::sample::environment;
use crate::snapshots::Verify;
use crate::source::{AskedBy, Source};

fn release(digit: u32) -> ReleaseId {
    format!("{digit:064x}").parse().unwrap()
}

fn record(generation: u32) -> PoolRecord {
    PoolRecord {
        generation: Generation(generation),
        release: release(generation),
        members: 2,
        since_ms: 0,
    }
}

/// Generation 1 is previous, 2 is live, 3 is standby.
fn full() -> EnvironmentState {
    EnvironmentState {
        live: Some(record(2)),
        standby: Some(record(3)),
        previous: Some(record(1)),
        warm_until_ms: Some(7),
        ..EnvironmentState::default()
    }
}

fn made(kind: Kind, state: &EnvironmentState, warmth: Warmth) -> Result<Plan, PlanError> {
    let environment = Environment {
        warm: vec!["/".to_owned()],
        ..environment()
    };
    let context = Context {
        environment: &environment,
        state,
        generation: Generation(4),
        warmth,
    };
    Plan::new("op".parse().unwrap(), kind, context)
}

fn steps(kind: Kind, warmth: Warmth) -> String {
    let plan = made(kind, &full(), warmth).unwrap();
    let names: Vec<_> = plan.steps.iter().map(|step| step.name()).collect();
    let target = plan.pool().map(|pool| pool.to_string());
    format!("{}: {}", target.unwrap_or_default(), names.join(" "))
}

const INIT: Kind = Kind::Init {
    verify: Verify::Metadata,
};

const REINIT: Kind = Kind::Reinit {
    verify: Verify::Metadata,
    php_options: None,
};

fn deploy_in(mode: Mode) -> Kind {
    Kind::Deploy {
        verify: Verify::Metadata,
        mode,
        from: None,
    }
}

#[test]
fn what_is_not_the_working_tree_is_there_before_all_else_and_gone_after_the_copy() {
    let mut environment = environment();
    environment.hooks.before_init = vec![vec!["composer".to_owned()]];
    let source = Source::parse("/srv/build.zip", AskedBy::Operator).unwrap();
    let kind = Kind::Deploy {
        verify: Verify::Metadata,
        mode: Mode::BlueGreen,
        from: Some(Box::new(source)),
    };
    let steps = deploy(&environment, Mode::BlueGreen);
    let context = Context {
        environment: &environment,
        state: &EnvironmentState::default(),
        generation: Generation(1),
        warmth: Warmth::Warm,
    };
    let with = Plan::new("op".parse().unwrap(), kind, context)
        .unwrap()
        .steps;
    let added = [Step::Fetch, Step::Tidy];
    let rest: Vec<_> = with
        .iter()
        .copied()
        .filter(|s| !added.contains(s))
        .collect();
    assert_eq!(rest, steps);
    assert_eq!(with[..2], [Step::Fetch, Step::BeforeInit]);
    let copied = with.iter().position(|s| *s == Step::Snapshot).unwrap();
    assert_eq!(with[copied + 1], Step::Tidy);
}

#[test]
fn hooks_stand_around_what_they_are_named_after() {
    let mut environment = environment();
    let command = vec![vec!["php".to_owned()]];
    environment.hooks.before_init = command.clone();
    environment.hooks.before_switch = command.clone();
    environment.hooks.after_switch = command;
    let names = |mode| {
        let steps = deploy(&environment, mode);
        let names: Vec<_> = steps.iter().map(|step| step.name()).collect();
        names.join(" ")
    };
    assert_eq!(
        names(Mode::BlueGreen),
        "before_init reserve preflight snapshot create start await_ready before_switch await_ready route promote drain after_switch check park"
    );
    // No old code is alive while the hook runs: the old pool is drained before it.
    assert_eq!(
        names(Mode::Consistent),
        "stop_crons before_init reserve preflight snapshot create start await_ready halt_workers freeze route drain before_switch thaw confirm promote workers after_switch check start_crons park"
    );
}

#[test]
fn a_deployment_can_be_undone_until_its_check_has_succeeded() {
    let plan = made(deploy_in(Mode::BlueGreen), &full(), Warmth::Warm).unwrap();
    let classes: Vec<_> = (0..plan.steps.len()).map(|step| plan.class(step)).collect();
    let check = plan.steps.iter().position(|s| *s == Step::Check).unwrap();
    assert!(classes[..=check].iter().all(|class| *class == Class::Undo));
    assert_eq!(classes[check + 1..], [Class::Retry]);
    let switch = made(Kind::Switch, &full(), Warmth::Warm).unwrap();
    assert_eq!(
        switch.class(1),
        Class::Pivot,
        "without a check the route decides"
    );
}

#[test]
fn every_kind_has_its_recipe() {
    use Warmth::{Cold, Warm};
    assert_eq!(
        steps(INIT, Warm),
        "shop-g4: reserve preflight snapshot create start await_ready warm stage"
    );
    assert_eq!(
        steps(Kind::Switch, Warm),
        "shop-g3: await_ready route promote drain park"
    );
    assert_eq!(
        steps(Kind::Rollback, Warm),
        "shop-g1: await_ready route promote drain park"
    );
    assert_eq!(
        steps(Kind::Rollback, Cold),
        "shop-g1: start await_ready route promote drain park"
    );
    assert_eq!(
        steps(REINIT, Warm),
        "shop-g4: reserve preflight snapshot create start await_ready warm route promote drain park"
    );
    assert_eq!(
        steps(deploy_in(Mode::BlueGreen), Warm),
        "shop-g4: reserve preflight snapshot create start await_ready warm route promote drain check park"
    );
    assert_eq!(
        steps(deploy_in(Mode::Consistent), Warm),
        "shop-g4: stop_crons reserve preflight snapshot create start await_ready warm halt_workers freeze route drain thaw confirm promote workers check start_crons park"
    );
    assert_eq!(steps(Kind::Abort, Warm), "shop-g3: unstage discard");
    let generation = Generation(1);
    assert_eq!(steps(Kind::Retire { generation }, Warm), "shop-g1: retire");
    let release = release(9);
    assert_eq!(steps(Kind::Reap { release }, Warm), ": reap");
}

#[test]
fn an_init_without_warm_paths_has_no_warm_step() {
    assert!(!prepare(&environment()).contains(&Step::Warm));
}

#[test]
fn a_plan_remembers_what_it_goes_back_to() {
    let plan = made(INIT, &full(), Warmth::Warm).unwrap();
    assert_eq!(plan.origin, Some(record(2)));
    assert_eq!(plan.previous, Some(Generation(1)));
    assert_eq!(plan.stale, Some(Generation(3)));
    assert_eq!(plan.base, Some(release(2)));
}

#[test]
fn files_are_linked_from_a_release_that_stays() {
    assert_eq!(base(&EnvironmentState::default()), None);
    let standby_only = EnvironmentState {
        standby: Some(record(1)),
        ..EnvironmentState::default()
    };
    assert_eq!(base(&standby_only), None);
    let rolled_back = EnvironmentState {
        live: Some(record(1)),
        previous: Some(record(2)),
        ..EnvironmentState::default()
    };
    assert_eq!(base(&rolled_back), Some(release(2)));
}

#[test]
fn what_the_state_does_not_allow_is_refused() {
    let nothing = EnvironmentState::default();
    let refused = |kind| made(kind, &nothing, Warmth::Warm).unwrap_err();
    assert_eq!(refused(Kind::Switch), PlanError::NoStandby);
    assert_eq!(refused(Kind::Abort), PlanError::NothingToDrop);
    assert_eq!(refused(Kind::Rollback), PlanError::NoPrevious);
}

#[test]
fn a_pool_or_release_that_has_a_role_is_not_cleaned_up() {
    // The others may be: their time may be over.
    let live = full().live.unwrap().generation;
    let kind = Kind::Retire { generation: live };
    let refused = made(kind, &full(), Warmth::Warm).unwrap_err();
    assert!(matches!(refused, PlanError::NotNeeded(_)), "{refused}");
    for used in [1, 2, 3] {
        let kind = Kind::Reap {
            release: release(used),
        };
        let refused = made(kind, &full(), Warmth::Warm).unwrap_err();
        assert!(matches!(refused, PlanError::NotNeeded(_)), "{used}");
    }
}

#[test]
fn a_pool_without_a_role_is_cleaned_up() {
    let kind = Kind::Retire {
        generation: Generation(77),
    };
    let plan = made(kind, &full(), Warmth::Warm).unwrap();
    assert_eq!(plan.steps, [Step::Retire]);
    assert_eq!(plan.target.unwrap().generation, Generation(77));
}

#[test]
fn a_stored_plan_is_read_back_as_it_was() {
    let plan = made(Kind::Switch, &full(), Warmth::Warm).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    let unknown = text.replace("\"await_ready\"", "\"dance\"");
    assert!(serde_json::from_str::<Plan>(&unknown).is_err());
}

#[test]
fn caches_are_cleared_after_the_drain_where_there_are_any() {
    let mut environment = environment();
    environment.caches.redis.push(RedisCache {
        name: "fpc".to_owned(),
        url: "redis://redis:6379".into(),
        ca: None,
    });
    for kind in [Kind::Switch, Kind::Rollback] {
        let context = Context {
            environment: &environment,
            state: &full(),
            generation: Generation(4),
            warmth: Warmth::Warm,
        };
        let plan = Plan::new("op".parse().unwrap(), kind, context).unwrap();
        let last: Vec<_> = plan.steps[3..].to_vec();
        assert_eq!(last, [Step::Drain, Step::Clear, Step::Park]);
    }
}
