//! One access record: how it is read, and what it says of the request. Both are total: hostile input is no panic.

use serde::Deserialize;
use stratus_core::Generation;

/// What nginx sends. The fields are those that `nginx::render` asks for, all as text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Record {
    pub(super) environment: String,
    method: String,
    /// What the visitor got.
    status: String,
    /// What each member said in turn; empty when none was asked. Shape: `502, 200`.
    upstream_status: String,
    /// By the last member that was asked.
    generation: String,
    /// `OK` when the answer went out to its end.
    completion: String,
    pub(super) connection: String,
    pub(super) connection_requests: String,
    /// When each member's answer began, `-` for one that gave none. Shape: `-, 0.004`.
    header_time: String,
    /// The `Content-Length` a member announced.
    length: String,
    /// Bytes of the body that went out.
    sent: String,
    /// From the first byte of the request to the last of the answer. Shape: `0.004`.
    request_time: String,
    /// When it ended, seconds since 1970. Shape: `1795353731.287`.
    time: String,
    /// On which side of Varnish nginx was asked.
    #[serde(default)]
    side: Side,
    /// Before Varnish: who was asked in turn. Shape: `unix:/…/visitors.sock, unix:/…/origin.sock`.
    #[serde(default)]
    asked: String,
    /// Before Varnish: whether it had the page; [`FAILED`] where it answered for want of one.
    #[serde(default)]
    cache: String,
    /// Behind Varnish: its number of the request; empty where it was not Varnish that asked.
    #[serde(default)]
    varnish: String,
}

/// Where nginx stands on both sides of Varnish a request is reported by each. Who served it, the origin tells; the front
/// tells only of what got lost between the two, and of a page from Varnish there is nothing to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    /// There is one side.
    #[default]
    Whole,
    /// Before Varnish.
    Front,
    /// Behind it.
    Origin,
}

/// What Varnish says of an answer that it made because it had none. Source: `compose/varnish/default.vcl`.
const FAILED: &str = "FAIL";

/// A datagram of nginx's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Somebody asked nginx's private socket; the text is what they called it.
    Mark(String),
    /// A visitor's request.
    Record(Box<Record>),
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A member answered, and said who it is or did not.
    Served(Option<Generation>),
    /// The visitor got an error that nginx made because no member answered, or an answer that a member cut short.
    Lost,
    /// No member was needed, or the visitor went away first.
    Aside,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// A member failed, and another one answered.
    pub(super) repeated: bool,
}

/// Reads a datagram: a syslog head that is skipped, and one JSON object. Source: RFC 3164.
pub(super) fn parse(datagram: &[u8]) -> Option<Message> {
    #[derive(Deserialize)]
    struct Mark {
        mark: String,
    }
    let start = datagram.iter().position(|byte| *byte == b'{')?;
    // nginx passes on what PHP wrote into a header, whatever bytes it is.
    let text = String::from_utf8_lossy(&datagram[start..]);
    match serde_json::from_str::<Mark>(&text) {
        Ok(Mark { mark }) => Some(Message::Mark(mark)),
        Err(_) => serde_json::from_str(&text)
            .ok()
            .map(|record| Message::Record(Box::new(record))),
    }
}

impl Record {
    /// When the request began, milliseconds since 1970.
    pub(super) fn began_ms(&self) -> Option<u64> {
        let ms = |text: &str| {
            let (whole, part) = text.split_once('.')?;
            let whole: u64 = whole.parse().ok()?;
            let part: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
            whole.checked_mul(1000)?.checked_add(part)
        };
        ms(&self.time)?.checked_sub(ms(&self.request_time)?)
    }

    /// What became of the request.
    pub(super) fn verdict(&self) -> Verdict {
        let answers: Vec<bool> = attempts(&self.header_time)
            .map(|time| time != "-")
            .collect();
        let asked = attempts(&self.upstream_status).count();
        let answered = answers.last() == Some(&true);
        let outcome = match (asked, answered) {
            // 503 is our own answer for a site without a pool.
            (0, _) if self.status.starts_with('5') && self.status != "503" => Outcome::Lost,
            (0, _) => Outcome::Aside,
            (_, false) if self.status == "499" => Outcome::Aside,
            (_, false) => Outcome::Lost,
            (_, true) if self.is_cut_short() && self.tells_of_cuts() => Outcome::Lost,
            (_, true) if self.side == Side::Front && self.cache == FAILED => Outcome::Lost,
            (_, true) if self.side == Side::Front => Outcome::Aside,
            (_, true) => Outcome::Served(self.generation.parse().ok().map(Generation)),
        };
        Verdict {
            outcome,
            repeated: self.side != Side::Front
                && answered
                && answers.iter().rev().skip(1).any(|answered| !answered),
        }
    }

    /// Of an answer that Varnish passes on the front tells, for several visitors may wait for it; of others the origin.
    fn tells_of_cuts(&self) -> bool {
        let from_varnish = attempts(&self.asked)
            .last()
            .is_some_and(|socket| socket.ends_with("/visitors.sock"));
        match self.side {
            Side::Whole => true,
            Side::Front => from_varnish,
            Side::Origin => self.varnish.is_empty(),
        }
    }

    /// Whether a member stopped in the middle of a body that it had announced. nginx takes the end of the connection
    /// for the end of the answer, and says `OK`; where the visitor went away, it does not.
    ///
    /// A body of unannounced length that a member cuts cannot be told from a whole one, neither here nor by the visitor.
    fn is_cut_short(&self) -> bool {
        let bodiless = self.method == "HEAD" || ["204", "304"].contains(&self.status.as_str());
        let short = match (self.sent.parse::<u64>(), self.length.parse::<u64>()) {
            (Ok(sent), Ok(length)) => sent < length,
            _ => false,
        };
        self.completion == "OK" && short && !bodiless
    }
}

/// The parts of a list that nginx joins with `, ` for members and ` : ` for internal redirects.
fn attempts(list: &str) -> impl Iterator<Item = &str> {
    let parts = list.split([',', ':']).map(str::trim);
    parts.filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record as nginx 1.30.6 sent it, with what differs from case to case.
    fn record(changes: &[(&str, &str)]) -> Record {
        let mut fields = serde_json::json!({
            "environment": "shop", "method": "GET", "status": "200", "upstream_status": "200", "generation": "1",
            "completion": "OK", "connection": "2", "connection_requests": "1", "header_time": "0.000",
            "length": "", "sent": "626", "request_time": "0.001", "time": "1795353731.287",
        });
        for (name, value) in changes {
            fields[*name] = (*value).into();
        }
        let datagram = format!("<190>Nov 22 13:22:11 stratus: {fields}");
        match parse(datagram.as_bytes()) {
            Some(Message::Record(record)) => *record,
            other => panic!("{other:?}"),
        }
    }

    fn outcome(changes: &[(&str, &str)]) -> Outcome {
        record(changes).verdict().outcome
    }

    const SERVED: Outcome = Outcome::Served(Some(Generation(1)));

    #[test]
    fn an_answer_of_a_member_is_its_generations_whatever_its_status() {
        assert_eq!(outcome(&[]), SERVED);
        for status in ["500", "502", "503", "504"] {
            assert_eq!(
                outcome(&[("status", status), ("upstream_status", status)]),
                SERVED
            );
        }
    }

    #[test]
    fn an_answer_that_does_not_name_its_generation_is_unattributed() {
        for unnamed in ["", "x", "-1", "1, 2", "99999999999"] {
            assert_eq!(outcome(&[("generation", unnamed)]), Outcome::Served(None));
        }
    }

    #[test]
    fn what_nginx_answers_alone_is_nobodys() {
        let alone = [
            ("upstream_status", ""),
            ("header_time", ""),
            ("generation", ""),
        ];
        for status in ["200", "304", "400", "404", "413", "499", "503"] {
            assert_eq!(
                outcome(&[&alone[..], &[("status", status)]].concat()),
                Outcome::Aside
            );
        }
        // But an error of its own is lost: its disk is full, its text is wrong.
        assert_eq!(
            outcome(&[&alone[..], &[("status", "500")]].concat()),
            Outcome::Lost
        );
    }

    #[test]
    fn an_error_without_a_members_answer_is_lost() {
        for (upstream, times) in [
            ("502", "-"),
            ("502, 502", "-, -"),
            ("504", "-"),
            ("502 : 504", "- : -"),
        ] {
            let verdict = record(&[
                ("status", "502"),
                ("upstream_status", upstream),
                ("header_time", times),
                ("generation", ""),
            ])
            .verdict();
            let expected = Verdict {
                outcome: Outcome::Lost,
                repeated: false,
            };
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn a_request_that_a_second_member_answered_is_served_and_counted_as_repeated() {
        let verdict =
            record(&[("upstream_status", "502, 200"), ("header_time", "-, 0.001")]).verdict();
        let expected = Verdict {
            outcome: SERVED,
            repeated: true,
        };
        assert_eq!(verdict, expected);
        // An internal redirect asks two members, too, but none failed.
        let redirected = [
            ("upstream_status", "200 : 200"),
            ("header_time", "0.001 : 0.002"),
        ];
        assert!(!record(&redirected).verdict().repeated);
    }

    #[test]
    fn a_body_that_a_member_cut_is_lost() {
        assert_eq!(
            outcome(&[("length", "10000"), ("sent", "5000")]),
            Outcome::Lost
        );
        assert_eq!(outcome(&[("length", "10000"), ("sent", "10000")]), SERVED);
    }

    #[test]
    fn an_answer_without_a_body_is_not_a_cut_one() {
        let announced = [("length", "10000"), ("sent", "0")];
        for bodiless in [("method", "HEAD"), ("status", "304"), ("status", "204")] {
            assert_eq!(outcome(&[&announced[..], &[bodiless]].concat()), SERVED);
        }
    }

    #[test]
    fn a_visitor_who_goes_away_is_not_lost() {
        let gone = [
            ("status", "499"),
            ("upstream_status", "-"),
            ("header_time", "-"),
            ("completion", ""),
        ];
        assert_eq!(outcome(&gone), Outcome::Aside);
        let midway = [("length", "10000"), ("sent", "5000"), ("completion", "")];
        assert_eq!(outcome(&midway), SERVED);
    }

    /// What the front says of an answer of Varnish's.
    fn front(changes: &[(&str, &str)]) -> Outcome {
        let of_varnish = [
            ("side", "front"),
            ("asked", "unix:/d/nginx/varnish/visitors.sock"),
            ("cache", "MISS"),
        ];
        outcome(&[&of_varnish[..], changes].concat())
    }

    #[test]
    fn who_served_a_request_the_origin_tells_and_not_the_front_as_well() {
        assert_eq!(front(&[]), Outcome::Aside);
        assert_eq!(front(&[("cache", "HIT")]), Outcome::Aside);
        assert_eq!(
            front(&[("status", "502"), ("upstream_status", "502")]),
            Outcome::Aside
        );
        assert_eq!(outcome(&[("side", "origin"), ("varnish", "32770")]), SERVED);
    }

    #[test]
    fn what_got_lost_between_the_two_sides_the_front_tells() {
        let nobody = [
            ("status", "502"),
            ("upstream_status", "502, 502"),
            ("header_time", "-, -"),
        ];
        assert_eq!(front(&nobody), Outcome::Lost);
        assert_eq!(
            front(&[
                ("status", "503"),
                ("upstream_status", "503"),
                ("cache", "FAIL")
            ]),
            Outcome::Lost
        );
        // Varnish was gone, and the origin answered.
        let other = record(&[
            ("side", "front"),
            ("asked", "unix:/d/visitors.sock, unix:/d/origin.sock"),
            ("upstream_status", "502, 200"),
            ("header_time", "-, 0.001"),
        ]);
        let expected = Verdict {
            outcome: Outcome::Aside,
            repeated: false,
        };
        assert_eq!(other.verdict(), expected);
    }

    #[test]
    fn a_body_that_is_cut_is_told_by_one_side_only() {
        let cut = [("length", "10000"), ("sent", "5000")];
        assert_eq!(front(&cut), Outcome::Lost);
        let straight = [&cut[..], &[("asked", "unix:/d/nginx/varnish/origin.sock")]].concat();
        assert_eq!(front(&straight), Outcome::Aside);
        let origin = [&cut[..], &[("side", "origin")]].concat();
        assert_eq!(outcome(&origin), Outcome::Lost);
        assert_eq!(
            outcome(&[&origin[..], &[("varnish", "3")]].concat()),
            SERVED
        );
    }

    #[test]
    fn a_mark_is_told_from_a_record() {
        let mark = parse(br#"<190>Nov 22 13:22:11 stratus: {"mark":"17"}"#);
        assert_eq!(mark, Some(Message::Mark("17".to_owned())));
    }

    #[test]
    fn what_php_wrote_into_its_header_does_not_break_the_record() {
        let raw = br#"<190>x: {"environment":"shop","method":"GET","status":"200","upstream_status":"200","generation":"1XX","completion":"OK","connection":"2","connection_requests":"1","header_time":"0.000","length":"","sent":"6","request_time":"0.001","time":"1.0"}"#;
        let mut raw = raw.to_vec();
        let at = raw.windows(2).position(|two| two == b"XX").unwrap();
        raw[at] = 0xff;
        assert!(matches!(parse(&raw), Some(Message::Record(_))));
    }

    proptest! {
        #[test]
        fn hostile_input_is_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn hostile_fields_are_never_a_panic(text in ".{0,40}", name in "[a-z_]{6,19}") {
            let _ = record(&[
                ("upstream_status", &text), ("header_time", &text), ("length", &text), ("sent", &text),
                ("status", &text), ("generation", &text), (&name, &text),
            ]).verdict();
        }
    }
}
