//! Members that this version does not know: kept, but for values that show what is hidden.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The object, with `hide` applied to each text and number in it: outside it is nothing where a
/// value shows nothing, inside what is written in its place. An object in which nothing is hidden
/// stays verbatim, and one that cannot be read is dropped.
pub(super) fn treated(
    object: &str,
    hide: impl Fn(&str) -> Option<Option<String>>,
) -> Option<String> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(object).ok()?;
    let mut is_same = true;
    let mut kept = BTreeMap::new();
    while let Some((name, raw)) = members.pop_first() {
        if hide(&name).is_some() {
            is_same = false;
            continue;
        }
        let value: Value = serde_json::from_str(raw.get()).ok()?;
        match hidden(&value, &hide) {
            Some(value) => {
                is_same = false;
                kept.insert(name, serde_json::value::to_raw_value(&value).ok()?);
            }
            None => {
                kept.insert(name, raw);
            }
        }
    }
    if is_same {
        return Some(object.to_owned());
    }
    serde_json::to_string(&kept).ok()
}

/// The value as it may be written; nothing where it may be written as it is. Its depth is bounded
/// by the parser.
fn hidden(value: &Value, hide: &impl Fn(&str) -> Option<Option<String>>) -> Option<Value> {
    let written = |text: Option<String>| text.map_or(Value::Null, Value::String);
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::Number(number) => hide(&number.to_string()).map(written),
        Value::String(text) => hide(text).map(written),
        Value::Array(values) => {
            let treated: Vec<_> = values.iter().map(|value| hidden(value, hide)).collect();
            if treated.iter().all(Option::is_none) {
                return None;
            }
            let values = treated.into_iter().zip(values);
            Some(
                values
                    .map(|(new, old)| new.unwrap_or_else(|| old.clone()))
                    .collect(),
            )
        }
        Value::Object(members) => {
            let mut kept = serde_json::Map::new();
            let mut is_same = true;
            for (name, value) in members {
                let treated = hidden(value, hide);
                let is_shown = hide(name).is_none();
                is_same &= is_shown && treated.is_none();
                if is_shown {
                    kept.insert(name.clone(), treated.unwrap_or_else(|| value.clone()));
                }
            }
            (!is_same).then_some(Value::Object(kept))
        }
    }
}
