//! A point in time, as microseconds, and its RFC 3339 text.
//!
//! The calendar is the proleptic Gregorian one without leap seconds. Days are turned into dates and back by the
//! arithmetic of Howard Hinnant, "chrono-compatible low-level date algorithms": years run from March, so that the
//! leap day is the last of the year.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde_core::de::Visitor;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use super::row_error::excerpt;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// Prints and parses as RFC 3339, always in UTC when printed: `2026-03-01T09:30:00.25Z`. Years outside 0000–9999, which
/// RFC 3339 cannot say, print with a sign and parse again. Through serde it is that text in human-readable formats and
/// the integer in others; both are read.
///
/// ```
/// let start: folio::Timestamp = "2026-03-01T10:30:00+01:00".parse()?;
/// assert_eq!(start.to_string(), "2026-03-01T09:30:00Z");
/// # Ok::<(), folio::ParseTimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest timestamp, in the year -290308.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest timestamp, in the year 294247.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// `micros` microseconds after 1970-01-01T00:00:00Z, or before it if negative.
    #[inline]
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The system clock's time, rounded down to the microsecond. `None` if it does not fit.
    pub fn from_system_time(time: SystemTime) -> Option<Timestamp> {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).ok().map(Timestamp),
            Err(error) => {
                let micros = error.duration().as_nanos().div_ceil(1_000);
                i128::try_from(micros).ok().and_then(|micros| i64::try_from(-micros).ok()).map(Timestamp)
            }
        }
    }

    /// The same time for the system's clock. `None` if the system cannot express it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let distance = Duration::from_micros(self.0.unsigned_abs());
        match self.0 {
            0.. => SystemTime::UNIX_EPOCH.checked_add(distance),
            _ => SystemTime::UNIX_EPOCH.checked_sub(distance),
        }
    }

    /// This time and `duration`, to the microsecond. `None` past [`Timestamp::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Timestamp> {
        self.0.checked_add_unsigned(u64::try_from(duration.as_micros()).ok()?).map(Timestamp)
    }

    /// This time less `duration`, to the microsecond. `None` before [`Timestamp::MIN`].
    pub fn checked_sub(self, duration: Duration) -> Option<Timestamp> {
        self.0.checked_sub_unsigned(u64::try_from(duration.as_micros()).ok()?).map(Timestamp)
    }

    /// The time from `earlier` to this. `None` if that is the later of the two.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let at = |text: &str| text.parse::<folio::Timestamp>().unwrap();
    /// let (departure, arrival) = (at("2013-01-01T05:17:00Z"), at("2013-01-01T08:30:00Z"));
    /// assert_eq!(arrival.duration_since(departure), Some(Duration::from_secs(3 * 3_600 + 13 * 60)));
    /// assert_eq!(departure.duration_since(arrival), None);
    /// ```
    pub fn duration_since(self, earlier: Timestamp) -> Option<Duration> {
        (self >= earlier).then(|| Duration::from_micros(self.0.abs_diff(earlier.0)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.div_euclid(MICROS_PER_SECOND), self.0.rem_euclid(MICROS_PER_SECOND));
        let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
        let (year, month, day) = date_of_days(days);
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+05}")?,
        }
        write!(f, "-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)?;
        if micros != 0 {
            let digits = format_args!("{micros:06}").to_string();
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// A text that is no RFC 3339 date and time, or one outside what a [`Timestamp`] can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTimestampError {
    text: Box<str>,
}

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {EXPECTED}", self.text)
    }
}

impl std::error::Error for ParseTimestampError {}

/// What would be right, for errors.
pub(super) const EXPECTED: &str = "an RFC 3339 timestamp such as 2026-03-01T09:30:00Z";

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Timestamp, ParseTimestampError> {
        parse(text.as_bytes()).ok_or_else(|| ParseTimestampError { text: excerpt(text).into() })
    }
}

/// The newtype name under which a timestamp passes through serde. Formats see a newtype, which is what it wraps; our own
/// row encoding knows the name and takes the integer, without a detour over text.
pub(super) const SERDE_NAME: &str = "$folio::Timestamp";

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct TextOrMicros(Timestamp);

        impl Serialize for TextOrMicros {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match serializer.is_human_readable() {
                    true => serializer.collect_str(&self.0),
                    false => serializer.serialize_i64(self.0.0),
                }
            }
        }

        serializer.serialize_newtype_struct(SERDE_NAME, &TextOrMicros(*self))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        struct TextOrMicros;

        impl<'de> Visitor<'de> for TextOrMicros {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{EXPECTED}, or microseconds since 1970")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Timestamp, D::Error> {
                match deserializer.is_human_readable() {
                    true => deserializer.deserialize_any(self),
                    false => deserializer.deserialize_i64(self),
                }
            }

            fn visit_str<E: serde_core::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde_core::de::Error>(self, micros: i64) -> Result<Timestamp, E> {
                Ok(Timestamp(micros))
            }

            fn visit_u64<E: serde_core::de::Error>(self, micros: u64) -> Result<Timestamp, E> {
                i64::try_from(micros).map(Timestamp).map_err(|_| E::custom("microseconds past the last timestamp"))
            }
        }

        deserializer.deserialize_newtype_struct(SERDE_NAME, TextOrMicros)
    }
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let (year, rest) = parse_year(text)?;
    let (month, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    let rest = match rest.split_first()? {
        (b'T' | b't' | b' ', rest) => rest,
        _ => return None,
    };
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let (micros, rest) = parse_fraction(rest)?;
    let offset_seconds = parse_offset(rest)?;
    // Second 60 is RFC 3339's leap second; it becomes the first of the next minute, as in POSIX time.
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // i128: the last representable second times a million does not fit before the offset is taken off.
    let seconds =
        days_of_date(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset_seconds;
    let micros = i128::from(seconds) * i128::from(MICROS_PER_SECOND) + i128::from(micros);
    i64::try_from(micros).ok().map(Timestamp)
}

/// Four digits, or a sign and four to six.
fn parse_year(text: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, text) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return digits(text, 4),
    };
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (year, rest) = digits(text, (4..=6).contains(&len).then_some(len)?)?;
    Some((sign * year, rest))
}

/// Digits behind the microsecond are read and dropped.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = text.split_at_checked(len).filter(|(fraction, _)| !fraction.is_empty())?;
    let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some((padded.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')), rest))
}

/// `Z`, `+hh:mm` or `-hh:mm`, to the end, in seconds east.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text.split_first()? {
        (b'Z' | b'z', []) => return Some(0),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    (rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn digits(text: &[u8], len: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(len)?;
    let all = number.iter().all(u8::is_ascii_digit);
    all.then(|| (number.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), rest))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01.
fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
fn date_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_dates_agree() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600_000_000),
            ("2026-03-01T09:30:00.25Z", 1_772_357_400_250_000),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(micros)), "{text}");
            assert_eq!(Timestamp(micros).to_string(), text);
        }
        assert_eq!("2000-02-29t14:00:00.0000009+02:00".parse(), Ok(Timestamp(951_825_600_000_000)));
        assert_eq!("1998-12-31T23:59:60Z".parse::<Timestamp>(), "1999-01-01T00:00:00Z".parse());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2000-02-30T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2000-01-01",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:00",
            "+999999-01-01T00:00:00Z",
            "2000-01-01T00:00:00.Z",
            "2000-1-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn sums_end_where_times_do() {
        let all = Duration::from_micros(u64::MAX);
        assert_eq!(Timestamp::MIN.checked_add(all), Some(Timestamp::MAX));
        assert_eq!(Timestamp(i64::MIN + 1).checked_add(all), None);
        assert_eq!(Timestamp(0).checked_add(all), None);
        assert_eq!(Timestamp(-1).checked_add(Duration::from_nanos(1_999)), Some(Timestamp(0)));
        assert_eq!(Timestamp::MIN.checked_add(Duration::MAX), None);
        assert_eq!(Timestamp::MAX.checked_sub(all), Some(Timestamp::MIN));
        assert_eq!(Timestamp(i64::MAX - 1).checked_sub(all), None);
        assert_eq!(Timestamp(0).checked_sub(Duration::from_nanos(1_999)), Some(Timestamp(-1)));
        assert_eq!(Timestamp::MAX.checked_sub(Duration::MAX), None);
        assert_eq!(Timestamp::MAX.duration_since(Timestamp::MIN), Some(all));
        assert_eq!(Timestamp(5).duration_since(Timestamp(5)), Some(Duration::ZERO));
        assert_eq!(Timestamp::MIN.duration_since(Timestamp::MAX), None);
    }

    #[test]
    fn system_times_convert_both_ways() {
        for micros in [0, 1, -1, 1_772_357_400_250_000, -62_135_596_800_000_000] {
            let time = Timestamp(micros).to_system_time().unwrap();
            assert_eq!(Timestamp::from_system_time(time), Some(Timestamp(micros)));
        }
    }

    proptest! {
        #[test]
        fn every_timestamp_prints_and_parses(micros in any::<i64>()) {
            prop_assert_eq!(Timestamp(micros).to_string().parse(), Ok(Timestamp(micros)));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9TZ:. ]{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
