//! The questions, and the right answers where they are known.

use crate::Flights;
use crate::report::{Report, thousands};
use folio::{Field, Result, Row, Table, Timestamp, count};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

/// Right answers, worked out from the CSV file by a program that does not know Folio.
pub(crate) struct Known {
    flights: u64,
    pub(crate) never_departed: u64,
    /// Origin, destination, flights.
    busiest_route: (&'static str, &'static str, u64),
    routes: usize,
    /// Carrier and mean delay on arrival, of all that have one.
    latest_carrier: (&'static str, f64),
    most_punctual_carrier: (&'static str, f64),
    /// Month, day, mean delay on departure.
    worst_day: (u8, u8, f64),
    /// Minutes, origin, destination.
    longest_flight: (u16, &'static str, &'static str),
    /// Tail numbers that are no plane of ours, and the flights under them.
    dangling_planes: (usize, u64),
    /// Flights to airports that are none of ours, by airport.
    dangling_airports: [(&'static str, u64); 4],
    /// Flights that left at most 15 minutes late, and flights that left.
    punctual: (u64, u64),
    /// Flights and mean delay by planes under 10 years, under 20, and older.
    by_age: [(u64, f64); 3],
    /// The plane with most flights, its flights, the miles that it flew.
    busiest_plane: (&'static str, u64, u64),
    /// A carrier's most frequent destination, and how often it flew there.
    delta_to: (&'static str, u64),
}

const JANUARY: Known = Known {
    flights: 27_004,
    never_departed: 521,
    busiest_route: ("JFK", "LAX", 937),
    routes: 186,
    latest_carrier: ("OO", 107.0),
    most_punctual_carrier: ("VX", -15.280254777070065),
    worst_day: (1, 31, 28.658362989323845),
    longest_flight: (667, "EWR", "HNL"),
    dangling_planes: (539, 4_324),
    dangling_airports: [("BQN", 93), ("PSE", 31), ("SJU", 486), ("STT", 70)],
    punctual: (21_565, 26_483),
    by_age: [(7_759, 5.836834643639644), (11_119, 8.319003507509668), (2_884, 0.6754507628294036)],
    busiest_plane: ("N737MQ", 66, 34_103),
    delta_to: ("ATL", 811),
};

const WHOLE_YEAR: Known = Known {
    flights: 336_776,
    never_departed: 8_255,
    busiest_route: ("JFK", "LAX", 11_262),
    routes: 224,
    latest_carrier: ("F9", 21.920704845814978),
    most_punctual_carrier: ("AS", -9.930888575458392),
    worst_day: (3, 8, 83.5369211514393),
    longest_flight: (695, "EWR", "HNL"),
    dangling_planes: (721, 50_094),
    dangling_airports: [("BQN", 896), ("PSE", 365), ("SJU", 5_819), ("STT", 522)],
    punctual: (257_747, 328_521),
    by_age: [(103_366, 7.362130681268503), (133_479, 7.606350062556657), (37_008, 4.0682014699524425)],
    busiest_plane: ("N711MQ", 486, 250_957),
    delta_to: ("ATL", 10_571),
};

impl Known {
    /// The answers for a file with these months.
    pub(crate) fn of_months(months: &[u8]) -> Option<&'static Known> {
        match months.len() {
            1 if months == [1] => Some(&JANUARY),
            12 => Some(&WHOLE_YEAR),
            _ => None,
        }
    }
}

/// Handles for what the questions read, each checked once.
struct Columns {
    month: Field<u8>,
    day: Field<u8>,
    hour: Field<u8>,
    dep_time: Field<Option<u16>>,
    dep_delay: Field<Option<i16>>,
    arr_delay: Field<Option<i16>>,
    carrier: Field<str>,
    flight: Field<u16>,
    tailnum: Field<Option<&'static str>>,
    origin: Field<str>,
    dest: Field<str>,
    air_time: Field<Option<u16>>,
    distance: Field<u16>,
    time_hour: Field<Timestamp>,
}

impl Columns {
    fn of(flights: &Table) -> Result<Columns> {
        Ok(Columns {
            month: flights.column("month")?,
            day: flights.column("day")?,
            hour: flights.column("hour")?,
            dep_time: flights.column("dep_time")?,
            dep_delay: flights.column("dep_delay")?,
            arr_delay: flights.column("arr_delay")?,
            carrier: flights.column("carrier")?,
            flight: flights.column("flight")?,
            tailnum: flights.column("tailnum")?,
            origin: flights.column("origin")?,
            dest: flights.column("dest")?,
            air_time: flights.column("air_time")?,
            distance: flights.column("distance")?,
            time_hour: flights.column("time_hour")?,
        })
    }
}

/// The tables, their columns, the answers, and where the report goes: what every question needs.
struct Questions<'a> {
    base: &'a Flights,
    columns: Columns,
    known: Option<&'static Known>,
    report: &'a mut Report,
}

/// Asks everything.
pub(crate) fn ask(base: &Flights, known: Option<&'static Known>, report: &mut Report) -> Result<()> {
    report.title("Questions");
    let mut questions = Questions { base, columns: Columns::of(&base.flights)?, known, report };
    questions.never_departed()?;
    questions.busiest_routes()?;
    questions.delay_by_carrier()?;
    questions.worst_days()?;
    questions.longest_flights()?;
    questions.punctuality_by_hour()?;
    questions.top_destinations()?;
    questions.age_and_delay()?;
    questions.dangling_planes()?;
    questions.dangling_airports()?;
    questions.busiest_plane()?;
    questions.first_morning()
}

/// Asserts that two means agree, up to the order in which they were summed.
fn assert_close(found: f64, right: f64) {
    assert!((found - right).abs() < 1e-9 * right.abs().max(1.0), "{found} is not {right}");
}

impl Questions<'_> {
    fn carrier_name(&self, carrier: &str) -> Result<String> {
        let name = self.base.airlines.column::<str>("name")?;
        Ok(self.base.airlines.get_with(carrier, |row| row.get(name).to_owned())?.unwrap_or_else(|| carrier.into()))
    }

    /// The airport's name, or its code if it is none of ours: some references dangle.
    fn airport_name(&self, faa: &str) -> Result<String> {
        let name = self.base.airports.column::<str>("name")?;
        Ok(self.base.airports.get_with(faa, |row| row.get(name).to_owned())?.unwrap_or_else(|| format!("{faa} (?)")))
    }

    /// A filter on null, and two groupings that are put together.
    fn never_departed(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let (all, missing, shares) = self.report.question("How many flights never departed, and whose?", || {
            let missing = flights.select().filter(columns.dep_time.is_null());
            let count = missing.count()?;
            let planned: BTreeMap<_, _> = flights.select().group_by(columns.carrier).count()?.into_iter().collect();
            let mut shares = Vec::new();
            for (carrier, missing) in missing.group_by(columns.carrier).count()? {
                let share = missing as f64 / planned[&carrier] as f64;
                shares.push((share, missing, carrier));
            }
            shares.sort_by(|a, b| b.0.total_cmp(&a.0));
            Ok((flights.len()?, count, shares))
        })?;
        let share = 100.0 * missing as f64 / all as f64;
        self.report.line(format!("{} of {}, {share:.2} %; the worst:", thousands(missing), thousands(all)));
        for (share, missing, carrier) in shares.iter().take(3) {
            let name = self.carrier_name(carrier)?;
            self.report.line(format!("{:5.2} %  {:>5}  {name}", 100.0 * share, thousands(*missing)));
        }
        if let Some(known) = self.known {
            assert_eq!((all, missing), (known.flights, known.never_departed));
        }
        Ok(())
    }

    /// Groups of two columns, then look-ups in another table.
    fn busiest_routes(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let mut routes = self.report.question("Which routes are the busiest?", || {
            flights.select().group_by((columns.origin, columns.dest)).count()
        })?;
        routes.sort_by_key(|(_, count)| Reverse(*count));
        for ((origin, dest), count) in routes.iter().take(5) {
            let (from, to) = (self.airport_name(origin)?, self.airport_name(dest)?);
            self.report.line(format!("{:>6}  {from} to {to}", thousands(*count)));
        }
        // A route is also one look-up in the index of both columns.
        let ((origin, dest), count) = &routes[0];
        let by_index = flights.select().filter(columns.origin.eq(origin.as_str()) & columns.dest.eq(dest.as_str()));
        assert_eq!(by_index.count()?, *count);
        if let Some(known) = self.known {
            assert_eq!((origin.as_str(), dest.as_str(), *count), known.busiest_route);
            assert_eq!(routes.len(), known.routes);
        }
        Ok(())
    }

    /// Means by group; nulls do not count.
    fn delay_by_carrier(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let mut carriers = self.report.question("Which airlines arrive late? Mean minutes, and flights", || {
            let arrived = flights.select().filter(columns.arr_delay.is_not_null());
            arrived.group_by(columns.carrier).aggregate((count(), columns.arr_delay.avg()))
        })?;
        carriers.sort_by(|(_, (_, a)), (_, (_, b))| b.unwrap_or(0.0).total_cmp(&a.unwrap_or(0.0)));
        for (carrier, (count, mean)) in &carriers {
            let name = self.carrier_name(carrier)?;
            self.report.line(format!("{:>6.1}  {:>6}  {name}", mean.unwrap_or_default(), thousands(*count)));
        }
        if let (Some(known), [(latest, (_, most)), .., (first, (_, least))]) = (self.known, &*carriers) {
            assert_eq!((latest.as_str(), first.as_str()), (known.latest_carrier.0, known.most_punctual_carrier.0));
            assert_close(most.unwrap_or_default(), known.latest_carrier.1);
            assert_close(least.unwrap_or_default(), known.most_punctual_carrier.1);
        }
        Ok(())
    }

    /// Several aggregates in one pass.
    fn worst_days(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let mut days = self.report.question("On which days did flights leave latest?", || {
            let by_day = flights.select().group_by((columns.month, columns.day));
            by_day.aggregate((count(), columns.dep_delay.avg(), columns.dep_delay.max()))
        })?;
        days.sort_by(|(_, (_, a, _)), (_, (_, b, _))| b.unwrap_or(0.0).total_cmp(&a.unwrap_or(0.0)));
        for ((month, day), (count, mean, longest)) in days.iter().take(3) {
            let (mean, longest) = (mean.unwrap_or_default(), longest.unwrap_or_default());
            self.report
                .line(format!("2013-{month:02}-{day:02}  {mean:.1} min. in the mean of {count}, at most {longest}"));
        }
        if let Some(known) = self.known {
            let ((month, day), (_, mean, _)) = days[0];
            assert_eq!((month, day), (known.worst_day.0, known.worst_day.1));
            assert_close(mean.unwrap_or_default(), known.worst_day.2);
        }
        Ok(())
    }

    /// The first few in an order that an index has.
    fn longest_flights(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let longest = self.report.question("Which flights were longest in the air?", || {
            let what =
                (columns.air_time, columns.origin, columns.dest, columns.carrier, columns.flight, columns.time_hour);
            flights.select().order_by(columns.air_time.desc()).limit(3).pick(what)
        })?;
        for (minutes, origin, dest, carrier, flight, when) in &longest {
            let (minutes, to) = (minutes.unwrap_or_default(), self.airport_name(dest)?);
            self.report.line(format!("{minutes} min. from {origin} to {to}, {carrier} {flight} at {when}"));
        }
        if let Some(known) = self.known {
            let (minutes, origin, dest, ..) = &longest[0];
            assert_eq!((minutes.unwrap_or_default(), origin.as_str(), dest.as_str()), known.longest_flight);
        }
        Ok(())
    }

    /// A fold of one's own over each group.
    fn punctuality_by_hour(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let hours = self.report.question("When does one leave on time (within 15 minutes)?", || {
            let departed = flights.select().filter(columns.dep_delay.is_not_null());
            departed.group_by(columns.hour).fold((0_u64, 0_u64), |(on_time, all), row| {
                *on_time += u64::from(row.get(columns.dep_delay) <= Some(15));
                *all += 1;
            })
        })?;
        for (hour, (on_time, all)) in &hours {
            let share = 100 * on_time / all;
            self.report.line(format!("{hour:>2} h  {share:>3} %  {}", "=".repeat(share as usize / 2)));
        }
        if let Some(known) = self.known {
            let sum = hours.iter().fold((0, 0), |sum, (_, (on_time, all))| (sum.0 + on_time, sum.1 + all));
            assert_eq!(sum, known.punctual);
        }
        Ok(())
    }

    /// The greatest of each group, from groups of two columns.
    fn top_destinations(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let best = self.report.question("Where does each airline fly most?", || {
            let mut best: BTreeMap<String, (String, u64)> = BTreeMap::new();
            for ((carrier, dest), count) in flights.select().group_by((columns.carrier, columns.dest)).count()? {
                let top = best.entry(carrier).or_default();
                if count > top.1 {
                    *top = (dest, count);
                }
            }
            Ok(best)
        })?;
        for (carrier, (dest, count)) in &best {
            let (name, to) = (self.carrier_name(carrier)?, self.airport_name(dest)?);
            self.report.line(format!("{name:<28} {:>6}  {to}", thousands(*count)));
        }
        if let Some(known) = self.known {
            assert_eq!(best.get("DL").map(|(dest, count)| (dest.as_str(), *count)), Some(known.delta_to));
        }
        Ok(())
    }

    /// A join: grouped by plane first, so that each plane is looked up once, and many at a time.
    fn age_and_delay(&mut self) -> Result<()> {
        let (flights, planes, columns) = (&self.base.flights, &self.base.planes, &self.columns);
        let built = planes.column::<Option<u16>>("year")?;
        let ages = self.report.question("Do older planes arrive later?", || {
            let arrived = flights.select().filter(columns.arr_delay.is_not_null() & columns.tailnum.is_not_null());
            let by_plane = arrived.group_by(columns.tailnum).aggregate((count(), columns.arr_delay.sum()))?;
            let tails = by_plane.iter().map(|(tail, _)| tail.as_deref().unwrap_or_default());
            let mut ages = [(0, 0); 3];
            for (plane, (_, (count, sum))) in planes.get_many(tails)?.iter().zip(&by_plane) {
                let Some(year) = plane.as_ref().and_then(|plane| plane.get(built)) else { continue };
                let (flights, minutes) = &mut ages[usize::from(2013_u16.saturating_sub(year) / 10).min(2)];
                *flights += *count;
                *minutes += *sum;
            }
            Ok(ages.map(|(count, sum)| (count, sum as f64 / count as f64)))
        })?;
        for ((flights, mean), age) in ages.iter().zip(["under 10 years", "10 to 19 years", "20 and more"]) {
            self.report.line(format!("{age:<14} {mean:>5.2} min. late in the mean of {}", thousands(*flights)));
        }
        if let Some(known) = self.known {
            for (found, right) in ages.iter().zip(known.by_age) {
                assert_eq!(found.0, right.0);
                assert_close(found.1, right.1);
            }
        }
        Ok(())
    }

    /// An anti-join, then a closure that uses what it found.
    fn dangling_planes(&mut self) -> Result<()> {
        let (flights, planes, columns) = (&self.base.flights, &self.base.planes, &self.columns);
        let (tails, count) = self.report.question("Which tail numbers are no plane that we know?", || {
            let named = flights.select().filter(columns.tailnum.is_not_null());
            let mut unknown = HashSet::new();
            for tail in named.distinct().pick(columns.tailnum)?.into_iter().flatten() {
                if !planes.contains(&tail)? {
                    unknown.insert(tail);
                }
            }
            let is_unknown = |row: &Row| row.get(columns.tailnum).is_some_and(|tail| unknown.contains(tail));
            let count = flights.select().filter(is_unknown).count()?;
            Ok((unknown.len(), count))
        })?;
        self.report.line(format!("{tails} of them, on {} flights", thousands(count)));
        if let Some(known) = self.known {
            assert_eq!((tails, count), known.dangling_planes);
        }
        Ok(())
    }

    fn dangling_airports(&mut self) -> Result<()> {
        let (flights, airports, columns) = (&self.base.flights, &self.base.airports, &self.columns);
        let dangling = self.report.question("Which destinations are no airport that we know?", || {
            let mut dangling = flights.select().group_by(columns.dest).count()?;
            let codes = dangling.iter().map(|(code, _)| code.as_str());
            let mut known = airports.get_many(codes)?.into_iter().map(|airport| airport.is_some());
            dangling.retain(|_| !known.next().unwrap_or(true));
            Ok(dangling)
        })?;
        for (code, count) in &dangling {
            self.report.line(format!("{code}  {:>5} flights", thousands(*count)));
        }
        if let Some(known) = self.known {
            let dangling: Vec<_> = dangling.iter().map(|(code, count)| (code.as_str(), *count)).collect();
            assert_eq!(dangling, known.dangling_airports);
        }
        Ok(())
    }

    /// The life of one plane, from an index, with a look at its plan.
    fn busiest_plane(&mut self) -> Result<()> {
        let (flights, planes, columns) = (&self.base.flights, &self.base.planes, &self.columns);
        let (tail, count, miles, plan) = self.report.question("Which plane flew most, and how far?", || {
            let mut by_plane = flights.select().group_by(columns.tailnum).count()?;
            by_plane.sort_by_key(|(_, count)| Reverse(*count));
            let mut busiest = None;
            for (tail, count) in by_plane {
                // Without a tail number, or under one that is no plane of ours: not a plane.
                if let Some(tail) = tail
                    && planes.contains(&tail)?
                {
                    busiest = Some((tail, count));
                    break;
                }
            }
            let (tail, count) = busiest.unwrap_or_default();
            let flown = flights.select().filter(columns.tailnum.eq(tail.as_str()) & columns.air_time.is_not_null());
            Ok((tail, count, flown.sum(columns.distance)?, flown.explain()?))
        })?;
        self.report.line(format!("{tail}: {} miles on {count} flights; asked for by", thousands(miles)));
        plan.lines().for_each(|line| self.report.line(format!("  {line}")));
        if let Some(known) = self.known {
            assert_eq!((tail.as_str(), count, miles), known.busiest_plane);
        }
        Ok(())
    }

    /// A range of time, from an index.
    fn first_morning(&mut self) -> Result<()> {
        let (flights, columns) = (&self.base.flights, &self.columns);
        let early = self.report.question("What was planned for 10:00 to 12:00 UTC of New Year's Day?", || {
            let hours = columns.time_hour.between("2013-01-01T10:00:00Z".."2013-01-01T12:00:00Z");
            flights.select().filter(hours).group_by(columns.origin).count()
        })?;
        for (origin, count) in &early {
            let name = self.airport_name(origin)?;
            self.report.line(format!("{count:>3} from {name}"));
        }
        if self.known.is_some() {
            assert_eq!(early.iter().map(|(_, count)| count).sum::<u64>(), 58);
        }
        Ok(())
    }
}
