//! The contract of `Tasks`.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a contract is broken by a panic"
)]

use std::time::Duration;

use stratus_core::environment::Argv;
use stratus_core::tasks::{
    Begun, ObservedTask, Task, TaskCode, TaskEnd, TaskId, TaskRestart, TaskState, Tasks,
};
use stratus_core::{Faulty, Pool};

const GRACE: Duration = Duration::from_secs(5);
/// How long a wait may take that is meant to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the contract needs of a world: tasks without any, and commands that do what they are called after.
pub struct Given<'a> {
    /// Under test.
    pub tasks: &'a dyn Tasks,
    /// Whose release is there.
    pub pool: Pool,
    /// Ends with exit code 3.
    pub fails: Argv,
    /// Writes `hello` and ends well.
    pub speaks: Argv,
    /// Never ends by itself, and ends by SIGTERM.
    pub stays: Argv,
    /// No program of the image.
    pub missing: Argv,
}

/// Runs the whole contract; it leaves nothing.
pub async fn holds(given: &Given<'_>) {
    what_was_never_there_is_no_error(given).await;
    a_task_runs_once_however_often_it_is_started(given).await;
    what_a_task_writes_is_kept_until_it_is_removed(given).await;
    a_task_that_runs_is_stopped(given).await;
    a_program_that_is_not_there_ends_as_a_shell_would_have_it(given).await;
    a_task_that_cannot_be_made_is_refused_for_good(given).await;
    what_runs_all_the_time_is_made_to_run_again(given).await;
    assert_eq!(given.tasks.list().await.unwrap(), [], "something was left");
}

async fn what_was_never_there_is_no_error(given: &Given<'_>) {
    let id = given.task("task.never", &given.stays).id;
    given.tasks.stop(&id, GRACE).await.unwrap();
    given.tasks.remove(&id).await.unwrap();
    assert_eq!(given.tasks.look(&id).await.unwrap(), TaskState::Absent);
    assert_eq!(given.tasks.wait(&id).await.unwrap(), TaskState::Absent);
    assert_eq!(given.tasks.output(&id, 10).await.unwrap().text, "");
}

async fn a_task_runs_once_however_often_it_is_started(given: &Given<'_>) {
    let task = given.task("task.fails", &given.fails);
    assert_eq!(given.tasks.start(&task).await.unwrap(), Begun::New);
    let first = given.over(&task.id).await;
    assert_eq!((first.exit, first.out_of_memory), (3, false));
    assert_eq!(given.tasks.start(&task).await.unwrap(), Begun::Known);
    // Even where it is another command by now.
    let other = given.task("task.fails", &given.speaks);
    assert_eq!(given.tasks.start(&other).await.unwrap(), Begun::Known);
    assert_eq!(given.over(&task.id).await, first);
    assert_eq!(
        given.tasks.list().await.unwrap(),
        [given.observed(&task, false)]
    );
    for _ in 0..2 {
        given.tasks.remove(&task.id).await.unwrap();
    }
    assert_eq!(given.tasks.look(&task.id).await.unwrap(), TaskState::Absent);
}

async fn what_a_task_writes_is_kept_until_it_is_removed(given: &Given<'_>) {
    let task = given.task("task.speaks", &given.speaks);
    given.tasks.start(&task).await.unwrap();
    assert_eq!(given.over(&task.id).await.exit, 0);
    let whole = given.tasks.output(&task.id, 1000).await.unwrap();
    assert_eq!((whole.text.trim_end(), whole.cut), ("hello", false));
    let cut = given.tasks.output(&task.id, 2).await.unwrap();
    assert_eq!((cut.text.len(), cut.cut), (2, true));
    given.tasks.remove(&task.id).await.unwrap();
}

async fn a_task_that_runs_is_stopped(given: &Given<'_>) {
    let task = given.task("task.stays", &given.stays);
    given.tasks.start(&task).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(300), given.tasks.wait(&task.id));
    assert!(waited.await.is_err(), "it ended by itself");
    assert_eq!(
        given.tasks.look(&task.id).await.unwrap(),
        TaskState::Running
    );
    assert_eq!(
        given.tasks.list().await.unwrap(),
        [given.observed(&task, true)]
    );
    let waiting = given.tasks.wait(&task.id);
    let stopping = async {
        for _ in 0..2 {
            given.tasks.stop(&task.id, GRACE).await.unwrap();
        }
    };
    let (waited, ()) = tokio::join!(waiting, stopping);
    let TaskState::Ended(end) = waited.unwrap() else {
        panic!("it does not run and has not ended");
    };
    assert_eq!(end.exit, 143);
    given.tasks.remove(&task.id).await.unwrap();
}

async fn a_program_that_is_not_there_ends_as_a_shell_would_have_it(given: &Given<'_>) {
    let task = given.task("task.missing", &given.missing);
    assert_eq!(given.tasks.start(&task).await.unwrap(), Begun::New);
    assert_eq!(given.over(&task.id).await.exit, 127);
    let said = given.tasks.output(&task.id, 1000).await.unwrap().text;
    assert!(said.contains(&given.missing[0]), "{said}");
    given.tasks.remove(&task.id).await.unwrap();
}

async fn a_task_that_cannot_be_made_is_refused_for_good(given: &Given<'_>) {
    let task = given.task("task.empty", &Argv::new());
    let error = given.tasks.start(&task).await.unwrap_err();
    assert_eq!(error.fault(), stratus_core::Fault::Permanent, "{error}");
    given.tasks.remove(&task.id).await.unwrap();
}

async fn what_runs_all_the_time_is_made_to_run_again(given: &Given<'_>) {
    let mut task = given.task("task.worker", &given.stays);
    task.restart = TaskRestart::Always;
    assert_eq!(given.tasks.start(&task).await.unwrap(), Begun::New);
    given.tasks.stop(&task.id, GRACE).await.unwrap();
    assert_eq!(given.over(&task.id).await.exit, 143);
    assert_eq!(given.tasks.start(&task).await.unwrap(), Begun::Known);
    assert_eq!(
        given.tasks.look(&task.id).await.unwrap(),
        TaskState::Running
    );
    // Made of other values, it is made anew.
    task.grace += GRACE;
    given.tasks.start(&task).await.unwrap();
    assert_eq!(
        given.tasks.look(&task.id).await.unwrap(),
        TaskState::Running
    );
    assert_eq!(
        given.tasks.list().await.unwrap(),
        [given.observed(&task, true)]
    );
    given.tasks.remove(&task.id).await.unwrap();
}

impl Given<'_> {
    fn task(&self, name: &str, argv: &Argv) -> Task {
        Task {
            id: TaskId::new(&self.pool.id.environment, name.parse().unwrap()),
            pool: self.pool.clone(),
            code: TaskCode::Release,
            argv: argv.clone(),
            restart: TaskRestart::Never,
            grace: GRACE,
        }
    }

    fn observed(&self, task: &Task, running: bool) -> ObservedTask {
        ObservedTask {
            id: task.id.clone(),
            release: Some(self.pool.release.clone()),
            running,
            restarting: false,
        }
    }

    async fn over(&self, id: &TaskId) -> TaskEnd {
        let waited = tokio::time::timeout(PATIENCE, self.tasks.wait(id)).await;
        match waited.expect("it ends").unwrap() {
            TaskState::Ended(end) => end,
            other => panic!("{id}: {other:?}"),
        }
    }
}
