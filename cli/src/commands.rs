//! The commands, one file a verb, under the names that scripts use.

pub mod autoscaling;
pub mod cache;
mod commands_doc;
pub mod completions;
pub mod crons;
pub mod database;
pub mod deploy;
pub mod doctor;
pub mod environments;
pub mod help;
pub mod maintenance;
pub mod man;
pub mod nginx;
pub mod operations;
pub mod php;
pub mod releases;
pub mod status;
pub mod zerodowntime;

use clap::Subcommand;

use crate::Ended;
use crate::error::CliError;
use crate::session::Session;

/// What to do. The help text groups these in `help::GROUPS`, all but the hidden ones.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(name = "deploy")]
    Deploy(deploy::Deploy),
    #[command(name = "autoscaling.reinit")]
    Reinit(autoscaling::reinit::Reinit),
    #[command(name = "zerodowntime.init")]
    Init(zerodowntime::init::Init),
    #[command(name = "zerodowntime.switch")]
    Switch(zerodowntime::switch::Switch),
    #[command(name = "zerodowntime.rollback")]
    Rollback(zerodowntime::rollback::Rollback),
    #[command(name = "zerodowntime.abort")]
    Abort(zerodowntime::abort::Abort),
    #[command(name = "zerodowntime.status")]
    ZeroDowntimeStatus(zerodowntime::status::Status),
    #[command(name = "maintenance.enable")]
    MaintenanceEnable(maintenance::enable::Enable),
    #[command(name = "maintenance.disable")]
    MaintenanceDisable(maintenance::disable::Disable),
    #[command(name = "php.options.list")]
    PhpOptionsList(php::options::list::List),
    #[command(name = "php.options.add")]
    PhpOptionsAdd(php::options::add::Add),
    #[command(name = "php.options.remove")]
    PhpOptionsRemove(php::options::remove::Remove),
    #[command(name = "database.config")]
    DatabaseConfig(database::config::Config),
    #[command(name = "status")]
    Status(status::Status),
    #[command(name = "operations.list")]
    OperationsList(operations::list::List),
    #[command(name = "operations.show")]
    OperationsShow(operations::show::Show),
    #[command(name = "operations.watch")]
    OperationsWatch(operations::watch::Watch),
    #[command(name = "operations.cancel")]
    OperationsCancel(operations::cancel::Cancel),
    #[command(name = "operations.resume")]
    OperationsResume(operations::resume::Resume),
    #[command(name = "operations.resolve")]
    OperationsResolve(operations::resolve::Resolve),
    #[command(name = "releases.list")]
    ReleasesList(releases::list::List),
    #[command(name = "releases.pin")]
    ReleasesPin(releases::pin::Pin),
    #[command(name = "releases.unpin")]
    ReleasesUnpin(releases::unpin::Unpin),
    #[command(name = "releases.remove")]
    ReleasesRemove(releases::remove::Remove),
    #[command(name = "environments.list")]
    EnvironmentsList(environments::list::List),
    #[command(name = "environments.show")]
    EnvironmentsShow(environments::show::Show),
    #[command(name = "environments.diff")]
    EnvironmentsDiff(environments::diff::Diff),
    #[command(name = "environments.apply")]
    EnvironmentsApply(environments::apply::Apply),
    #[command(name = "nginx.update")]
    NginxUpdate(nginx::update::Update),
    #[command(name = "cache.all.clear")]
    CacheAllClear(cache::all::Clear),
    #[command(name = "cache.opcache.flush")]
    CacheOpcacheFlush(cache::opcache::Flush),
    #[command(name = "cache.redis.clear")]
    CacheRedisClear(cache::redis::Clear),
    #[command(name = "cache.varnish.clear")]
    CacheVarnishClear(cache::varnish::Clear),
    #[command(name = "cache.cloudfront.invalidate")]
    CacheCloudfrontInvalidate(cache::cloudfront::Invalidate),
    #[command(name = "cache.cdn.purge")]
    CacheCdnPurge(cache::cdn::Purge),
    #[command(name = "crons.list")]
    CronsList(crons::list::List),
    #[command(name = "crons.run")]
    CronsRun(crons::run::Run),
    #[command(name = "crons.logs")]
    CronsLogs(crons::logs::Logs),
    #[command(name = "crons.stop")]
    CronsStop(crons::stop::Stop),
    #[command(name = "crons.start")]
    CronsStart(crons::start::Start),
    #[command(name = "doctor")]
    Doctor(doctor::Doctor),
    #[command(name = "help")]
    Help(help::Help),
    #[command(name = "completions")]
    Completions(completions::Completions),
    #[command(name = "man")]
    Man(man::Man),
    #[command(name = "commands-doc", hide = true)]
    CommandsDoc(commands_doc::CommandsDoc),
}

impl Command {
    /// Whether its exit code tells how an operation ended.
    pub fn is_operation(&self) -> bool {
        matches!(
            self,
            Self::Deploy(_)
                | Self::Reinit(_)
                | Self::PhpOptionsAdd(_)
                | Self::PhpOptionsRemove(_)
                | Self::Init(_)
                | Self::Switch(_)
                | Self::Rollback(_)
                | Self::Abort(_)
                | Self::OperationsWatch(_)
                | Self::ReleasesRemove(_)
        )
    }
}

/// Runs a command.
pub async fn run(command: Command, session: &mut Session<'_>) -> Result<Ended, CliError> {
    match command {
        Command::Deploy(deploy) => return deploy.run(session).await,
        Command::Reinit(reinit) => return reinit.run(session).await,
        Command::PhpOptionsAdd(add) => return add.run(session).await,
        Command::PhpOptionsRemove(remove) => return remove.run(session).await,
        Command::Init(init) => return init.run(session).await,
        Command::Switch(switch) => return switch.run(session).await,
        Command::Rollback(rollback) => return rollback.run(session).await,
        Command::Abort(abort) => return abort.run(session).await,
        Command::OperationsWatch(watch) => return watch.run(session).await,
        Command::ReleasesRemove(remove) => return remove.run(session).await,
        Command::ZeroDowntimeStatus(status) => status.run(session).await,
        Command::MaintenanceEnable(enable) => enable.run(session).await,
        Command::MaintenanceDisable(disable) => disable.run(session).await,
        Command::PhpOptionsList(list) => list.run(session).await,
        Command::DatabaseConfig(config) => config.run(session).await,
        Command::Status(status) => status.run(session).await,
        Command::OperationsList(list) => list.run(session).await,
        Command::OperationsShow(show) => show.run(session).await,
        Command::OperationsCancel(cancel) => cancel.run(session).await,
        Command::OperationsResume(resume) => resume.run(session).await,
        Command::OperationsResolve(resolve) => resolve.run(session).await,
        Command::ReleasesList(list) => list.run(session).await,
        Command::ReleasesPin(pin) => pin.run(session).await,
        Command::ReleasesUnpin(unpin) => unpin.run(session).await,
        Command::EnvironmentsList(list) => list.run(session).await,
        Command::EnvironmentsShow(show) => show.run(session).await,
        Command::EnvironmentsDiff(diff) => diff.run(session).await,
        Command::EnvironmentsApply(apply) => apply.run(session).await,
        Command::NginxUpdate(update) => update.run(session).await,
        Command::CacheAllClear(clear) => clear.run(session).await,
        Command::CacheOpcacheFlush(flush) => flush.run(session).await,
        Command::CacheRedisClear(clear) => clear.run(session).await,
        Command::CacheVarnishClear(clear) => clear.run(session).await,
        Command::CacheCloudfrontInvalidate(invalidate) => invalidate.run(session).await,
        Command::CacheCdnPurge(purge) => purge.run(session).await,
        Command::CronsList(list) => list.run(session).await,
        Command::CronsRun(run) => run.run(session).await,
        Command::CronsLogs(logs) => logs.run(session).await,
        Command::CronsStop(stop) => stop.run(session).await,
        Command::CronsStart(start) => start.run(session).await,
        Command::Doctor(doctor) => doctor.run(session).await,
        Command::Help(help) => help.run(session),
        Command::Completions(completions) => {
            completions.run(session);
            Ok(())
        }
        Command::Man(man) => man.run(session),
        Command::CommandsDoc(_) => {
            commands_doc::run(session);
            Ok(())
        }
    }?;
    Ok(Ended::Done)
}
