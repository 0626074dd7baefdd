//! One line a switch: what the server says of it, held against what the load client counted meanwhile.

use std::fmt;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::load::Handle;
use crate::stage::Place;

/// Requests that may be on their way between nginx's record and the client's count: one a client.
const IN_FLIGHT: u64 = 40;

/// A switch.
pub struct Row {
    name: String,
    init: Option<Value>,
    init_ms: u128,
    switch: Value,
    switch_ms: u128,
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
    pub async fn deploy(place: &Place, handle: &Handle) -> anyhow::Result<Self> {
        let began = Instant::now();
        let init = place.done(&["zerodowntime.init"]).await?;
        let init_ms = began.elapsed().as_millis();
        let target = number(&init, "generation")?;
        let mut row = Self::route(place, handle, "zerodowntime.switch", target).await?;
        row.init = Some(init);
        row.init_ms = init_ms;
        Ok(row)
    }

    /// Back to the previous generation.
    pub async fn rollback(place: &Place, handle: &Handle) -> anyhow::Result<Self> {
        let status = place.done(&["status"]).await?;
        let target = number(&status["environments"][0]["previous"], "generation")?;
        let mut row = Self::route(place, handle, "zerodowntime.rollback", target).await?;
        row.name = format!("rollback {target}");
        Ok(row)
    }

    async fn route(
        place: &Place,
        handle: &Handle,
        verb: &str,
        target: u64,
    ) -> anyhow::Result<Self> {
        let before = handle.snapshot();
        let target = u32::try_from(target)?;
        handle.allow(target);
        let began = Instant::now();
        let switch = place.done(&[verb]).await?;
        handle.mark(target);
        let switch_ms = began.elapsed().as_millis();
        let after = handle.snapshot();
        let row = Self {
            name: format!("switch {target}"),
            init: None,
            init_ms: 0,
            switch,
            switch_ms,
        };
        let seen = |generation: u64| {
            let of = |report: &crate::load::Report| {
                let generation = u32::try_from(generation).unwrap_or(0);
                report
                    .counts
                    .generations
                    .get(&generation)
                    .copied()
                    .unwrap_or(0)
            };
            of(&after) - of(&before)
        };
        row.agrees("served_old", seen(number(&row.switch, "from")?))?;
        row.agrees("served_new", seen(u64::from(target)))?;
        Ok(row)
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
