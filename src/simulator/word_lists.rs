//! The words that made-up records are built from.
//!
//! 70,000 participant names from a few dozen pieces (some Chinese, some with an emoji, quotes or
//! a backslash, since a decoder must take them all), departments, and the labels of devices and
//! media in both languages. Which pieces a name has depends on its number alone.

use crate::record::Language;

/// How many different names there are.
pub(super) const NAMES: u64 = 70_000;

const GIVEN_START: [&str; 25] = [
    "Mar", "Jul", "Sof", "Hen", "Luc", "Ann", "Tom", "Vik", "Pet", "Nor", "Eli", "Kat", "Rob",
    "Sam", "Dar", "Fel", "Gab", "Ing", "Jon", "Leo", "Mir", "Osk", "Pav", "Ren", "Tan",
];
const GIVEN_END: [&str; 10] = [
    "ia", "en", "or", "ika", "us", "ela", "in", "ora", "ek", "anne",
];
const FAMILY_START: [&str; 28] = [
    "Holt", "Brand", "Kess", "Lind", "Mor", "Nyq", "Okaf", "Peder", "Quint", "Rasm", "Sand",
    "Thorn", "Ulr", "Vass", "Wint", "Xav", "Yild", "Zell", "Berg", "Card", "Dahl", "Engl", "Fisch",
    "Grün", "Horv", "Ivan", "Jank", "Kov",
];
const FAMILY_END: [&str; 10] = [
    "er", "berg", "sen", "ano", "ovic", "ström", "ley", "mann", "ard", "ez",
];
const CHINESE_GIVEN_START: [&str; 25] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明",
    "超", "霞", "平", "刚", "桂", "婷", "辉", "玲", "鹏",
];
const CHINESE_GIVEN_END: [&str; 10] = ["华", "文", "宁", "轩", "怡", "晨", "波", "彬", "琳", "凯"];
const CHINESE_FAMILY_START: [&str; 28] = [
    "王", "李", "张", "刘", "陈", "杨", "黄", "赵", "吴", "周", "徐", "孙", "马", "朱", "胡", "郭",
    "何", "高", "林", "罗", "郑", "梁", "谢", "宋", "唐", "许", "韩", "冯",
];
const CHINESE_FAMILY_END: [&str; 10] = ["晓", "志", "建", "国", "海", "春", "子", "雨", "佳", "思"];

const DEVICES: [[&str; 2]; 5] = [
    ["Soft client", "软终端"],
    ["Hard terminal", "硬终端"],
    ["Mobile phone", "手机"],
    ["Web browser", "网页"],
    ["Smart screen", "智慧屏"],
];
const MEDIA: [[&str; 2]; 3] = [
    ["Video", "视频"],
    ["Voice", "语音"],
    ["Data sharing", "数据共享"],
];
const DEPARTMENTS: [&str; 40] = [
    "Accounting",
    "Architecture Office",
    "Audit",
    "Board Office",
    "Business Development",
    "Cloud Operations",
    "Compliance",
    "Customer Success",
    "Data Platform",
    "Design",
    "Engineering East",
    "Engineering North",
    "Engineering South",
    "Engineering West",
    "Facilities",
    "Field Service",
    "Finance",
    "Human Resources",
    "Information Security",
    "Internal Tools",
    "Learning \"Campus\"",
    "Legal",
    "Logistics",
    "Manufacturing",
    "Marketing",
    "Media & Events",
    "Network Operations",
    "Partner Management",
    "Procurement",
    "Product Management",
    "Quality",
    "R&D\\Wireless",
    "Research Laboratory",
    "Sales",
    "Support",
    "研发部",
    "市场部",
    "人力资源部",
    "财务部",
    "",
];

/// Column of a label table.
const fn column(language: Language) -> usize {
    match language {
        Language::EnUs => 0,
        Language::ZhCn => 1,
    }
}

/// One of `table`, chosen by `number`.
fn pick<T: Copy, const N: usize>(table: &[T; N], number: u64) -> T {
    // The remainder is below the table's length, so it fits.
    table[usize::try_from(number % N as u64).unwrap_or(0)]
}

/// The device label with this number.
pub(super) fn device(number: u64, language: Language) -> &'static str {
    pick(&DEVICES, number)[column(language)]
}

/// The media label with this number.
pub(super) fn media(number: u64, language: Language) -> &'static str {
    pick(&MEDIA, number)[column(language)]
}

/// The department with this number; departments are customer data and not translated.
pub(super) fn department(number: u64) -> &'static str {
    pick(&DEPARTMENTS, number)
}

/// Gives the pieces of the name with this number, in order. A piece is either a lone `"` or `\`,
/// or needs no escaping in JSON.
pub(super) fn spell(number: u64, mut piece: impl FnMut(&'static str)) {
    let number = number % NAMES;
    let (given, family) = (number % 250, number / 250);
    if number % 8 == 1 {
        piece(pick(&CHINESE_FAMILY_START, family / 10));
        piece(pick(&CHINESE_FAMILY_END, family));
        piece(pick(&CHINESE_GIVEN_START, given / 10));
        piece(pick(&CHINESE_GIVEN_END, given));
        return;
    }
    piece(pick(&GIVEN_START, given / 10));
    piece(pick(&GIVEN_END, given));
    match number % 64 {
        7 => [" ", "\"", "Ace", "\"", " "]
            .into_iter()
            .for_each(&mut piece),
        _ => piece(" "),
    }
    piece(pick(&FAMILY_START, family / 10));
    piece(pick(&FAMILY_END, family));
    match number % 64 {
        12 => piece(" 🎧"),
        21 => ["\\", "guest"].into_iter().for_each(&mut piece),
        28 => piece(" (Zoë's tablet)"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn name(number: u64) -> String {
        let mut text = String::new();
        spell(number, |piece| text.push_str(piece));
        text
    }

    #[test]
    fn all_names_differ() {
        let names: HashSet<_> = (0..NAMES).map(name).collect();
        assert_eq!(names.len(), 70_000);
    }

    #[test]
    fn a_piece_needs_escaping_only_when_it_is_a_lone_quote_or_backslash() {
        for number in 0..NAMES {
            spell(number, |piece| {
                let plain = !piece.contains(['"', '\\']) && !piece.contains(char::is_control);
                assert!(plain || piece == "\"" || piece == "\\", "{piece:?}");
            });
        }
    }
}
