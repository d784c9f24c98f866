use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::account::Side;
use crate::money::Money;

const HEADER: &str =
    r#""trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account""#;

fn ledger(bytes: &[u8]) -> Result<Vec<LedgerLine>, LedgerError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Ledger::open(file.path())?.0.collect()
}

fn with_header(rows: &str) -> Vec<u8> {
    format!("{HEADER}\r\n{rows}").into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn error_of(row: &str) -> RowError {
    let mut lines = ledger(&with_header(row)).unwrap();
    assert_eq!(lines.len(), 1);
    lines.remove(0).row.unwrap_err()
}

#[test]
fn a_row_says_what_is_booked() {
    let lines = ledger(&with_header("695247;2378;930101;\"PRIJEM\";\"VKLAD\";700.00;700.00;\"\";;\r\n")).unwrap();
    let row = lines[0].row.as_ref().unwrap();
    let expected = Row {
        trans_id: 695_247,
        account_id: 2_378,
        occurred_at: "1993-01-01T00:00:00Z".parse().unwrap(),
        side: Side::Credit,
        amount: Money::minor(70_000),
    };
    assert_eq!((lines[0].number, row), (2, &expected));
}

#[test]
fn columns_are_found_by_name() {
    let text = "amount;type;account_id;trans_id;date\n0.00;VYBER;9;8;981231\n";
    let row = ledger(text.as_bytes()).unwrap().remove(0).row.unwrap();
    assert_eq!((row.trans_id, row.account_id, row.side, row.amount), (8, 9, Side::Debit, Money::ZERO));
    assert_eq!(row.occurred_at.to_string(), "1998-12-31 00:00:00 UTC");
}

#[test]
fn a_malformed_row_spoils_its_own_line_only_and_keeps_the_count_of_lines() {
    let good = "1;2;930101;PRIJEM;;1.00;;\"\";;";
    let text = format!("{good}\n\n\"unclosed;1\n{good}\n\r\n{good}");
    let lines = ledger(&with_header(&text)).unwrap();
    let seen: Vec<_> = lines.iter().map(|line| (line.number, line.row.is_ok())).collect();
    assert_eq!(seen, [(2, true), (4, false), (5, true), (7, true)]);
}

#[test]
fn a_row_that_is_no_row_says_why() {
    let row = |field: usize, text: &str| {
        let mut fields = ["1", "2", "930101", "PRIJEM", "", "1.00", "", "", "", ""];
        fields[field] = text;
        error_of(&fields.join(";"))
    };
    assert_eq!(error_of("1;2;3"), RowError::Fields { found: 3, expected: 10 });
    assert_eq!(row(0, "x"), RowError::Number { column: "trans_id", text: "x".to_owned() });
    assert_eq!(row(0, "+1"), RowError::Number { column: "trans_id", text: "+1".to_owned() });
    assert_eq!(row(1, ""), RowError::Number { column: "account_id", text: String::new() });
    for date in ["930231", "93011", "9301011", "ab0101", "+30101", "93\u{e9}11"] {
        assert!(matches!(row(2, date), RowError::Date { .. }), "{date} was taken");
    }
    assert_eq!(row(3, "OTHER"), RowError::Type { text: "OTHER".to_owned() });
    assert_eq!(row(5, "-1.00"), RowError::Negative { amount: Money::minor(-100) });
    assert!(matches!(row(5, "1.005"), RowError::Amount(_)));
    assert_eq!(row(4, "\"a\"b"), RowError::Quote);
}

#[test]
fn quotes_and_latin_1_are_read() {
    assert_eq!(row::fields(b"\"a;b\";\"say \"\"so\"\"\";\xe1;").unwrap(), ["a;b", "say \"so\"", "\u{e1}", ""]);
}

#[test]
fn gzip_is_seen_from_its_bytes_and_may_have_several_members() {
    let first = gzip(&with_header("1;2;930101;PRIJEM;;1.00;;;;\n"));
    let both = [first, gzip(b"2;2;930102;VYDAJ;;1.00;;;;\n")].concat();
    let ids: Vec<_> = ledger(&both).unwrap().into_iter().map(|line| line.row.unwrap().trans_id).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn a_truncated_gzip_says_how_far_it_got_and_hands_out_no_half_row() {
    let rows: String = (0..20_000).map(|n| format!("{n};{};930101;PRIJEM;;{n}.00;;;;\n", n % 7)).collect();
    let mut bytes = gzip(&with_header(&rows));
    bytes.truncate(bytes.len() / 2);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let mut last = 1;
    for line in Ledger::open(file.path()).unwrap().0 {
        match line {
            Ok(line) => {
                let row = line.row.unwrap();
                last = line.number;
                assert_eq!(row.amount.to_string(), format!("{}.00", row.trans_id));
            }
            Err(LedgerError::Broken { line, .. }) => {
                assert!(last > 100);
                assert_eq!(line, last);
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the end was not noticed");
}

#[test]
fn what_is_no_ledger_is_refused() {
    assert!(matches!(ledger(b""), Err(LedgerError::Empty { .. })));
    assert!(matches!(ledger(b"hello\nworld\n"), Err(LedgerError::Header { .. })));
    assert!(matches!(ledger(b"trans_id;trans_id;account_id;date;type;amount\n"), Err(LedgerError::Header { .. })));
    assert!(matches!(ledger(&[b'x'; 100_000]), Err(LedgerError::Header { .. })));
    assert!(matches!(ledger(&GZIP_ONLY), Err(LedgerError::Broken { line: 0, .. })));
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Ledger::open(directory.path()), Err(LedgerError::Directory { .. })));
    assert!(matches!(Ledger::open(&directory.path().join("none")), Err(LedgerError::Open { .. })));
}

const GZIP_ONLY: [u8; 4] = [0x1f, 0x8b, 8, 0];
