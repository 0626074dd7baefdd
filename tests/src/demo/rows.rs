//! One line a switch: what the server says of it, held against what the load client counted meanwhile.

use std::fmt;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::Value;

use super::logins::Logins;
use crate::load::Handle;
use crate::stage::Place;

/// Requests that may be on their way between nginx's record and the client's count: one a client.
const IN_FLIGHT: u64 = 40;

/// A switch.
pub struct Row {
    name: String,
    target: u32,
    init: Option<Value>,
    init_ms: u128,
    switch: Value,
    switch_ms: u128,
}

/// Who sees what the deployments do: the load client, and visitors who are logged in.
pub struct Watch<'a> {
    handle: &'a Handle,
    logins: Option<&'a Logins>,
}

impl<'a> Watch<'a> {
    /// The load client alone.
    pub fn load(handle: &'a Handle) -> Self {
        Self {
            handle,
            logins: None,
        }
    }

    /// Both.
    pub fn both(handle: &'a Handle, logins: &'a Logins) -> Self {
        Self {
            handle,
            logins: Some(logins),
        }
    }

    /// Answers of a generation so far.
    fn seen(&self, generation: u32) -> u64 {
        let report = self.handle.snapshot();
        let by_load = report.counts.generations.get(&generation);
        let by_logins = self
            .logins
            .map_or(0, |logins| logins.answers_of(generation));
        by_load.copied().unwrap_or(0) + by_logins
    }
}

impl Row {
    /// The heading above the lines.
    pub fn header() -> String {
        format!(
            "{:<12} {:>8} {:>7} {:>7} {:>9} {:>9} {:>11} {:>11} {:>5}",
            "",
            "init ms",
            "copied",
            "linked",
            "switch ms",
            "drain ms",
            "served old",
            "served new",
            "lost"
        )
    }

    /// Init and switch.
    pub async fn init_and_switch(place: &Place, watch: &Watch<'_>) -> anyhow::Result<Self> {
        let began = Instant::now();
        let init = place.done(&["zerodowntime.init"]).await?;
        let init_ms = began.elapsed().as_millis();
        let target = number(&init, "generation")?;
        let mut row = Self::route(place, watch, &["zerodowntime.switch"], target).await?;
        row.init = Some(init);
        row.init_ms = init_ms;
        Ok(row)
    }

    /// All of it in one command, in `mode`. What comes before the route is its init.
    pub async fn deploy(place: &Place, watch: &Watch<'_>, mode: &str) -> anyhow::Result<Self> {
        let status = place.done(&["status"]).await?;
        let next = number(&status["environments"][0]["live"], "generation")? + 1;
        let mut row = Self::route(place, watch, &["deploy", "--mode", mode], next).await?;
        let steps = row.switch["steps"].as_array().into_iter().flatten();
        let before = steps.take_while(|step| step["name"] != "route");
        let init_ms = before.filter_map(|step| step["ms"].as_u64()).sum::<u64>();
        row.init_ms = init_ms.into();
        row.switch_ms = row.switch_ms.saturating_sub(row.init_ms);
        row.init = Some(row.switch.clone());
        row.name = format!("deploy {next}");
        Ok(row)
    }

    /// Back to the previous generation.
    pub async fn rollback(place: &Place, watch: &Watch<'_>) -> anyhow::Result<Self> {
        let status = place.done(&["status"]).await?;
        let target = number(&status["environments"][0]["previous"], "generation")?;
        let mut row = Self::route(place, watch, &["zerodowntime.rollback"], target).await?;
        row.name = format!("rollback {target}");
        Ok(row)
    }

    async fn route(
        place: &Place,
        watch: &Watch<'_>,
        words: &[&str],
        target: u64,
    ) -> anyhow::Result<Self> {
        let target = u32::try_from(target)?;
        let new_before = watch.seen(target);
        let old = place.done(&["status"]).await?;
        let old = number(&old["environments"][0]["live"], "generation")?;
        let old_before = watch.seen(u32::try_from(old)?);
        watch.handle.allow(target);
        let began = Instant::now();
        let switch = place.done(words).await?;
        watch.handle.mark(target);
        let row = Self {
            name: format!("switch {target}"),
            target,
            init: None,
            init_ms: 0,
            switch_ms: began.elapsed().as_millis(),
            switch,
        };
        let (from, to) = (number(&row.switch, "from")?, number(&row.switch, "to")?);
        if (from, to) != (old, u64::from(target)) {
            bail!("{words:?} went from {from} to {to}, and {old} to {target} was expected");
        }
        row.agrees("served_old", watch.seen(u32::try_from(old)?) - old_before)?;
        row.agrees("served_new", watch.seen(target) - new_before)?;
        Ok(row)
    }

    /// How long requests waited for the new pool, how many did, and the longest wait of one: milliseconds.
    pub fn held(&self) -> anyhow::Result<(u64, u64, u64)> {
        Ok((
            number(&self.switch, "hold_ms")?,
            number(&self.switch, "held")?,
            number(&self.switch, "longest_hold_ms")?,
        ))
    }

    /// The generation that is live afterwards.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// The server counts between Route and the end of Drain, which lies inside what the client saw.
    fn agrees(&self, field: &str, seen: u64) -> anyhow::Result<()> {
        let Some(counted) = self.switch[field].as_u64() else {
            return Ok(());
        };
        if counted > seen + IN_FLIGHT {
            bail!("the server counted {field} {counted}, the load client only saw {seen}");
        }
        Ok(())
    }

    /// Requests that the server says were lost. One that could not be counted is no zero.
    pub fn lost(&self) -> anyhow::Result<u64> {
        self.switch["lost"].as_u64().with_context(|| {
            format!(
                "{}: the server could not count what was lost: {}",
                self.name, self.switch
            )
        })
    }
}

fn number(value: &Value, field: &str) -> anyhow::Result<u64> {
    value[field]
        .as_u64()
        .with_context(|| format!("no {field} in {value}"))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let init = |field| {
            self.init
                .as_ref()
                .map_or(String::new(), |init| init[field].to_string())
        };
        let init_ms = if self.init.is_some() {
            self.init_ms.to_string()
        } else {
            String::new()
        };
        write!(
            f,
            "{:<12} {:>8} {:>7} {:>7} {:>9} {:>9} {:>11} {:>11} {:>5}",
            self.name,
            init_ms,
            init("copied"),
            init("linked"),
            self.switch_ms,
            self.switch["drained_ms"].to_string(),
            self.switch["served_old"].to_string(),
            self.switch["served_new"].to_string(),
            self.switch["lost"].to_string(),
        )
    }
}
