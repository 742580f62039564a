//! A page put together member by member, so that any part of it can be wrong.
//!
//! Pages without a fault are written straight from the world; this slower way serves the rest:
//! pages with faults, filtered lists, the history list, and indented answers.

use std::fmt::Write as _;

use super::active_faults::Struck;
use super::effect::{ClampLimit, Echo, Effect, RecordEdit};
use super::options::PastEnd;
use super::record::mix;

/// Member names of a row with the JSON of their values, in order.
pub(super) type Members = Vec<(String, String)>;

/// What pages are cut from.
pub(super) trait List {
    /// How many rows there are.
    fn count(&self) -> u64;
    /// One row.
    fn row(&self, index: u64) -> Members;
}

/// What was asked for, and how the answer is to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) offset: u64,
    pub(super) limit: u64,
    pub(super) past_end: PastEnd,
    pub(super) pretty: bool,
    pub(super) seed: u64,
}

#[derive(Debug)]
enum Item {
    Row(Members),
    Json(String),
}

/// Whether an effect changes what a page says.
pub(super) const fn is_of_page(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::ClampLimit(_)
            | Effect::Short(_)
            | Effect::Longer(_)
            | Effect::Empty
            | Effect::NullData
            | Effect::IgnoreOffset(_)
            | Effect::LastPage
            | Effect::EchoOffset(_)
            | Effect::EchoLimit(_)
            | Effect::Count(_)
            | Effect::CountOff(_)
            | Effect::NoCount
            | Effect::NumbersAsText
            | Effect::Shuffle
            | Effect::Swap(..)
            | Effect::Window(_)
            | Effect::EchoRows
            | Effect::LongRecords(_)
            | Effect::Record(_)
    )
}

/// Which rows the page has.
struct Cut {
    offset: u64,
    limit: u64,
    longer: u64,
    short: u64,
    order: Option<u64>,
    swap: Option<(u64, u64)>,
    window: u64,
}

impl Cut {
    /// Indices into the list, in the order in which the page gives them.
    fn indices(&self, count: u64) -> Vec<u64> {
        let end = count.min(self.window);
        let within = self.limit.min(end.saturating_sub(self.offset));
        let rows = if self.longer > 0 && count > 0 {
            self.limit + self.longer
        } else {
            within
        };
        (0..rows.saturating_sub(self.short))
            .map(|row| (self.offset + row) % count.max(1))
            .map(|index| match self.order {
                Some(order) => shuffled(index, count, order),
                None => index,
            })
            .map(|index| match self.swap {
                Some((one, other)) if one.max(other) >= count => index,
                Some((one, other)) if index == one => other,
                Some((one, other)) if index == other => one,
                _ => index,
            })
            .collect()
    }
}

/// The answer as JSON.
pub(super) fn write(list: &dyn List, request: Request, struck: &[Struck]) -> String {
    let true_count = list.count();
    let mut cut = Cut {
        offset: request.offset,
        limit: request.limit,
        longer: 0,
        short: 0,
        order: None,
        swap: None,
        window: u64::MAX,
    };
    let mut echo_offset = signed(request.offset);
    let mut echo_limit = signed(request.limit);
    let mut count = Some(signed(true_count));
    let mut last_page = request.past_end == PastEnd::LastPage;
    let (mut null, mut text, mut echoes_rows) = (false, false, false);
    for strike in struck {
        match strike.effect() {
            Effect::ClampLimit(ClampLimit { to, echoed }) => {
                cut.limit = cut.limit.min(*to);
                if *echoed {
                    echo_limit = echo_limit.min(signed(*to));
                }
            }
            Effect::Short(n) => cut.short += n,
            Effect::Longer(n) => cut.longer += n,
            Effect::Empty => cut.short = u64::MAX,
            Effect::NullData => null = true,
            Effect::IgnoreOffset(echo) => {
                cut.offset = 0;
                if *echo == Echo::True {
                    echo_offset = 0;
                }
            }
            Effect::LastPage => last_page = true,
            Effect::EchoOffset(offset) => echo_offset = *offset,
            Effect::EchoLimit(limit) => echo_limit = *limit,
            Effect::Count(told) => count = Some(*told),
            Effect::CountOff(off) => count = count.map(|count| count + off),
            Effect::NoCount => count = None,
            Effect::NumbersAsText => text = true,
            Effect::Swap(one, other) => cut.swap = Some((*one, *other)),
            Effect::Window(end) => cut.window = *end,
            Effect::EchoRows => echoes_rows = true,
            Effect::Shuffle => cut.order = Some(mix(request.seed, strike.hit)),
            _ => {}
        }
    }
    if last_page && cut.offset >= true_count {
        cut.offset = true_count.saturating_sub(1) / cut.limit.max(1) * cut.limit;
    }
    let items = (!null).then(|| items(list, &cut, true_count, struck));
    if echoes_rows {
        echo_limit = signed(items.as_ref().map_or(0, |items| items.len() as u64));
    }
    let mut writer = Writer {
        out: String::new(),
        pretty: request.pretty,
        text,
    };
    writer.page(
        items.as_deref(),
        [
            ("offset", Some(echo_offset)),
            ("limit", Some(echo_limit)),
            ("count", count),
        ],
    );
    writer.out
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn items(list: &dyn List, cut: &Cut, count: u64, struck: &[Struck]) -> Vec<Item> {
    let edits: Vec<_> = struck
        .iter()
        .filter_map(|strike| match strike.effect() {
            Effect::Record(edit) => Some(edit),
            _ => None,
        })
        .collect();
    let lengths = struck.iter().filter_map(|strike| match strike.effect() {
        Effect::LongRecords(bytes) => Some(*bytes),
        _ => None,
    });
    let length = lengths.max();
    cut.indices(count)
        .into_iter()
        .map(|index| {
            edits
                .iter()
                .filter(|edit| edit.at.is_none_or(|at| at == index))
                .fold(Item::Row(long_row(list, index, length)), |item, edit| {
                    edited(item, edit)
                })
        })
        .collect()
}

/// A row, with a long text at its end where that has a length.
fn long_row(list: &dyn List, index: u64, length: Option<usize>) -> Members {
    let mut row = list.row(index);
    if let Some(length) = length {
        let mut text = String::with_capacity(length + 18);
        text.push('"');
        let mut number = 0;
        while text.len() <= length {
            // Writing to a string does not fail.
            let _ = write!(text, "{:016x}", mix(index, number));
            number += 1;
        }
        text.truncate(length + 1);
        text.push('"');
        row.push(("remark".to_owned(), text));
    }
    row
}

fn edited(item: Item, edit: &RecordEdit) -> Item {
    if let Some(json) = &edit.replace {
        return Item::Json(json.clone());
    }
    let Item::Row(mut members) = item else {
        return item;
    };
    members.retain(|(name, _)| !edit.unset.contains(name));
    for (name, json) in &edit.set {
        match members.iter_mut().find(|(is, _)| is == name) {
            Some(member) => member.1.clone_from(json),
            None => members.push((name.clone(), json.clone())),
        }
    }
    Item::Row(members)
}

/// Another order of `0..count`, one for each `order`, worked out index by index.
fn shuffled(index: u64, count: u64, order: u64) -> u64 {
    let mut step = (order % count.max(1)).max(1);
    while common_divisor(step, count) != 1 {
        step += 1;
    }
    let place = u128::from(index) * u128::from(step) + u128::from(order >> 7);
    u64::try_from(place % u128::from(count.max(1))).unwrap_or(0)
}

const fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Writes JSON from parts that are JSON already.
struct Writer {
    out: String,
    pretty: bool,
    text: bool,
}

impl Writer {
    fn page(&mut self, items: Option<&[Item]>, figures: [(&str, Option<i64>); 3]) {
        self.out.push('{');
        self.name(1, "data");
        match items {
            None => self.out.push_str("null"),
            Some(items) => {
                self.out.push('[');
                for (position, item) in items.iter().enumerate() {
                    self.comma(position);
                    self.line(2);
                    match item {
                        Item::Row(members) => self.object(members),
                        Item::Json(json) => self.out.push_str(json),
                    }
                }
                if !items.is_empty() {
                    self.line(1);
                }
                self.out.push(']');
            }
        }
        for (name, figure) in figures {
            if let Some(figure) = figure {
                self.out.push(',');
                self.name(1, name);
                self.value(&figure.to_string());
            }
        }
        self.line(0);
        self.out.push('}');
    }

    fn object(&mut self, members: &Members) {
        self.out.push('{');
        for (position, (name, json)) in members.iter().enumerate() {
            self.comma(position);
            self.name(3, name);
            self.value(json);
        }
        self.line(2);
        self.out.push('}');
    }

    fn comma(&mut self, position: usize) {
        if position > 0 {
            self.out.push(',');
        }
    }

    fn name(&mut self, depth: usize, name: &str) {
        self.line(depth);
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str(if self.pretty { "\": " } else { "\":" });
    }

    fn value(&mut self, json: &str) {
        if self.text && json.parse::<i64>().is_ok() {
            self.out.push('"');
            self.out.push_str(json);
            self.out.push('"');
        } else {
            self.out.push_str(json);
        }
    }

    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.out.push('\n');
            self.out.push_str(&"    ".repeat(depth));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_order_is_an_order_of_all() {
        for count in [1, 2, 3, 10, 97, 1_200] {
            for order in 0..20 {
                let seen: HashSet<_> = (0..count)
                    .map(|index| shuffled(index, count, mix(order, 1)))
                    .collect();
                assert_eq!(seen.len() as u64, count);
            }
        }
    }

    struct Numbers(u64);

    impl List for Numbers {
        fn count(&self) -> u64 {
            self.0
        }

        fn row(&self, index: u64) -> Members {
            vec![("n".to_owned(), index.to_string())]
        }
    }

    #[test]
    fn a_page_is_compact_or_indented_by_four() {
        let mut request = Request {
            offset: 1,
            limit: 20,
            past_end: PastEnd::Empty,
            pretty: false,
            seed: 1,
        };
        let compact = write(&Numbers(2), request, &[]);
        assert_eq!(
            compact,
            r#"{"data":[{"n":1}],"offset":1,"limit":20,"count":2}"#
        );
        request.pretty = true;
        let indented = write(&Numbers(2), request, &[]);
        assert!(indented.starts_with("{\n    \"data\": [\n        {\n            \"n\": 1\n"));
        assert!(
            indented
                .ends_with("    ],\n    \"offset\": 1,\n    \"limit\": 20,\n    \"count\": 2\n}")
        );
    }
}
