//! The way of a token, gathered from the tables.

use std::{collections::BTreeSet, path::PathBuf};

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use tokenhound_common::process::ProcessKey;

use super::{
    Database, HistoryError,
    egress::Egress,
    read::{Access, Copy, Holder, Place, Told, moment},
};
use crate::{state::path, token::fingerprint::Fingerprint};

/// Most rows of each kind. What is still there is given first, then the latest; the others are counted.
pub const MOST: usize = 1_000;

/// Whose way is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One token's.
    Token(Fingerprint),
    /// That of all tokens of a store, by its id.
    Store(String),
    /// That of all tokens that lay, or were found, in this file.
    File(PathBuf),
}

/// Where tokens went, as far as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trail {
    /// Where they lie, or lay.
    pub places: Vec<Place>,
    /// Who got at them, latest last.
    pub accesses: Vec<Access>,
    /// Where else they were found.
    pub copies: Vec<Copy>,
    /// Where those connected to who carried one.
    pub egress: Vec<Egress>,
    /// What was told of it, oldest first.
    pub findings: Vec<Told>,
    /// Rows that found no room here.
    pub left_out: usize,
}

impl Trail {
    /// Is nothing known?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let found =
            self.places.len() + self.accesses.len() + self.copies.len() + self.egress.len() + self.findings.len();
        found == 0
    }

    /// Every token it is about.
    #[must_use]
    pub fn fingerprints(&self) -> BTreeSet<&str> {
        let places = self.places.iter().map(|place| place.fingerprint.as_str());
        places.chain(self.copies.iter().map(|copy| copy.fingerprint.as_str())).collect()
    }
}

impl Database {
    /// The way of the tokens of `subject`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn trail(&self, subject: &Subject) -> Result<Trail, HistoryError> {
        self.ask(|db| {
            let mut gather = Gather { db, trail: Trail::default() };
            gather.all(subject)?;
            Ok(gather.trail)
        })
    }

    /// Processes that got at a token as one of these accesses and were not known to have ended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn holders(&self, accesses: &[Access]) -> Result<Vec<Holder>, HistoryError> {
        self.ask(|db| {
            let mut statement = db.prepare("SELECT start_ns, tgid, last FROM holders WHERE access = ?1")?;
            let mut holders = Vec::new();
            for access in accesses {
                let holder = |row: &Row<'_>| {
                    let process = ProcessKey::new(row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?);
                    Ok(Holder { process, access: access.id, last: moment(row.get(2)?) })
                };
                for holder in statement.query_map([access.id], holder)? {
                    holders.push(holder?);
                }
            }
            Ok(holders)
        })
    }
}

struct Gather<'d> {
    db: &'d Connection,
    trail: Trail,
}

impl Gather<'_> {
    fn all(&mut self, subject: &Subject) -> rusqlite::Result<()> {
        let (column, value) = match subject {
            Subject::Token(fingerprint) => ("fingerprint", fingerprint.to_string()),
            Subject::Store(store) => ("store", store.clone()),
            Subject::File(file) => ("path", path::text(file).into_owned()),
        };
        self.places(&format!("p.{column} = ?1"), &value)?;
        self.copies(&format!("c.{column} = ?1"), &value)?;
        let fingerprints: Vec<String> = self.trail.fingerprints().into_iter().map(str::to_owned).collect();
        // A file's copies are of tokens that lie elsewhere, and a token may lie in several places.
        for fingerprint in &fingerprints {
            self.places("p.fingerprint = ?1", fingerprint)?;
            self.copies("c.fingerprint = ?1", fingerprint)?;
            let of_token = "IN (SELECT access FROM accessed_tokens WHERE fingerprint = ?1)";
            self.accesses(&format!("a.id {of_token}"), fingerprint)?;
            self.egress(&format!("e.access {of_token} OR e.fingerprint = ?1"), fingerprint)?;
        }
        match subject {
            Subject::Token(_) => {}
            Subject::Store(_) => {
                self.accesses("a.store = ?1", &value)?;
                self.egress("e.store = ?1", &value)?;
            }
            Subject::File(_) => {
                self.accesses("a.what = ?1", &value)?;
                self.egress("e.access IN (SELECT id FROM accesses WHERE what = ?1)", &value)?;
            }
        }
        self.findings(&value)?;
        for fingerprint in &fingerprints {
            self.findings(fingerprint)?;
        }
        self.findings_of_files(subject)?;
        self.findings_of_egress()?;
        let mut trail = std::mem::take(&mut self.trail);
        trail.places.sort_by(|a, b| (a.since, &a.path, &a.field).cmp(&(b.since, &b.path, &b.field)));
        trail.accesses.sort_by_key(|access| (access.first, access.id));
        trail.copies.sort_by(|a, b| (a.first, &a.path).cmp(&(b.first, &b.path)));
        trail.egress.sort_by_key(|egress| (egress.first, egress.id));
        trail.findings.sort_by_key(|finding| finding.id);
        self.trail = trail;
        Ok(())
    }

    /// Findings name files more often than tokens: those of the time when the token lay there, and of copies.
    fn findings_of_files(&mut self, subject: &Subject) -> rusqlite::Result<()> {
        let places: Vec<Place> = self.trail.places.clone();
        for place in places {
            let told = self.told(&path::text(&place.path))?;
            let within = |told: &Told| told.time >= place.since && place.gone.is_none_or(|gone| told.time <= gone);
            // Of a file with several tokens what names one of them is of that one.
            let other = |told: &Told| match subject {
                Subject::Token(_) => told.fingerprint.as_ref().is_some_and(|other| *other != place.fingerprint),
                Subject::Store(_) | Subject::File(_) => false,
            };
            let told = told.into_iter().filter(|told| within(told) && (told.access.is_some() || !other(told)));
            told.for_each(|told| self.add_told(told));
        }
        let copies: Vec<_> =
            self.trail.copies.iter().map(|copy| (copy.path.clone(), copy.fingerprint.clone())).collect();
        for (file, fingerprint) in copies {
            for told in self.told(&path::text(&file))? {
                if told.fingerprint.as_ref().is_none_or(|other| *other == fingerprint) {
                    self.add_told(told);
                }
            }
        }
        Ok(())
    }

    fn rows<T>(
        &mut self,
        sql: &str,
        value: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = self.db.prepare_cached(sql)?;
        let found: Vec<T> = statement.query_map(params![value, MOST as i64 + 1], read)?.collect::<Result<_, _>>()?;
        if found.len() > MOST {
            self.trail.left_out += 1;
        }
        Ok(found)
    }

    fn places(&mut self, condition: &str, value: &str) -> rusqlite::Result<()> {
        // What is still there first: where there are too many, what is left out is gone as far as that can be.
        let sql = format!(
            "SELECT {} FROM places p WHERE {condition} ORDER BY p.gone IS NOT NULL, p.since DESC LIMIT ?2",
            Place::COLUMNS
        );
        for place in self.rows(&sql, value, Place::of)? {
            let same = |other: &Place| {
                (&other.fingerprint, &other.store, &other.path, &other.field)
                    == (&place.fingerprint, &place.store, &place.path, &place.field)
            };
            add(&mut self.trail.places, &mut self.trail.left_out, place.clone(), same);
        }
        Ok(())
    }

    fn accesses(&mut self, condition: &str, value: &str) -> rusqlite::Result<()> {
        let sql = format!("SELECT {} FROM accesses a WHERE {condition} ORDER BY a.last DESC LIMIT ?2", Access::COLUMNS);
        for access in self.rows(&sql, value, Access::of)? {
            let id = access.id;
            add(&mut self.trail.accesses, &mut self.trail.left_out, access, |other| other.id == id);
        }
        Ok(())
    }

    fn copies(&mut self, condition: &str, value: &str) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT {} FROM copies c WHERE {condition} ORDER BY c.state = 'gone', c.first DESC LIMIT ?2",
            Copy::COLUMNS
        );
        for copy in self.rows(&sql, value, Copy::of)? {
            let same = |other: &Copy| (&other.fingerprint, &other.path) == (&copy.fingerprint, &copy.path);
            add(&mut self.trail.copies, &mut self.trail.left_out, copy.clone(), same);
        }
        Ok(())
    }

    fn egress(&mut self, condition: &str, value: &str) -> rusqlite::Result<()> {
        let sql = format!("SELECT {} FROM egress e WHERE {condition} ORDER BY e.last DESC LIMIT ?2", Egress::COLUMNS);
        for egress in self.rows(&sql, value, Egress::of)? {
            let id = egress.id;
            add(&mut self.trail.egress, &mut self.trail.left_out, egress, |other| other.id == id);
        }
        Ok(())
    }

    fn findings_of_egress(&mut self) -> rusqlite::Result<()> {
        let sql = format!("SELECT {} FROM findings f WHERE f.uid = ?1 LIMIT ?2", Told::COLUMNS);
        let uids: Vec<String> = self.trail.egress.iter().filter_map(|egress| egress.finding.clone()).collect();
        for uid in uids {
            for told in self.rows(&sql, &uid, Told::of)? {
                self.add_told(told);
            }
        }
        Ok(())
    }

    fn told(&mut self, about: &str) -> rusqlite::Result<Vec<Told>> {
        let sql = format!(
            "SELECT {} FROM findings_about b JOIN findings f ON f.id = b.finding WHERE b.about = ?1
             ORDER BY f.id DESC LIMIT ?2",
            Told::COLUMNS
        );
        self.rows(&sql, about, Told::of)
    }

    fn findings(&mut self, about: &str) -> rusqlite::Result<()> {
        for told in self.told(about)? {
            self.add_told(told);
        }
        Ok(())
    }

    fn add_told(&mut self, told: Told) {
        let id = told.id;
        add(&mut self.trail.findings, &mut self.trail.left_out, told, |other| other.id == id);
    }
}

/// Adds what is not there yet, as long as there is room.
fn add<T>(to: &mut Vec<T>, left_out: &mut usize, one: T, same: impl Fn(&T) -> bool) {
    if to.iter().any(same) {
        return;
    }
    if to.len() < MOST {
        to.push(one);
    } else {
        *left_out += 1;
    }
}
