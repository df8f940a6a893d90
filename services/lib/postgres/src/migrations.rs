//! Migrations that the program carries. The macro of sqlx that does the same has all of sqlx, with TLS, compiled once more for the
//! compiler itself.

use include_dir::{Dir, File};
use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType},
};
use thiserror::Error;

/// First line of a migration that cannot run inside a transaction, as sqlx has it: an index that is built while others write.
const NO_TRANSACTION: &str = "-- no-transaction";

/// A file of the folder that is no migration.
#[derive(Debug, Error)]
#[error("{0} is no migration: 0001_what_it_does.sql")]
pub(crate) struct NoMigration(String);

/// All files of the folder, in the order of their numbers.
pub(crate) fn embedded(folder: &'static Dir<'static>) -> Result<Vec<Migration>, NoMigration> {
    let all: Result<Vec<_>, _> = folder
        .files()
        .map(|file| migration(file).ok_or_else(|| NoMigration(file.path().display().to_string())))
        .collect();
    let mut all = all?;
    all.sort_by_key(|migration| migration.version);
    Ok(all)
}

/// As sqlx reads file names, so that databases recognise what ran.
fn migration(file: &'static File<'static>) -> Option<Migration> {
    let (version, description) = file.path().file_name()?.to_str()?.strip_suffix(".sql")?.split_once('_')?;
    let text = file.contents_utf8()?;
    Some(Migration::new(
        version.parse().ok()?,
        description.replace('_', " ").into(),
        MigrationType::Simple,
        text.into_sql_str(),
        text.starts_with(NO_TRANSACTION),
    ))
}

#[cfg(test)]
mod tests {
    use include_dir::DirEntry;

    use super::*;

    #[test]
    fn files_are_migrations_by_their_numbers() {
        static FILES: [DirEntry<'_>; 3] = [
            DirEntry::File(File::new("0020_more_of_it.sql", b"select 2")),
            DirEntry::File(File::new("0001_first.sql", b"select 1")),
            DirEntry::File(File::new("0021_alone.sql", b"-- no-transaction\nselect 3")),
        ];
        static FOLDER: Dir<'_> = Dir::new("", &FILES);
        let all = embedded(&FOLDER).expect("good names");
        let told: Vec<_> =
            all.iter().map(|m| (m.version, &*m.description, m.sql.as_str(), m.no_tx)).collect();
        assert_eq!(
            told,
            [
                (1, "first", "select 1", false),
                (20, "more of it", "select 2", false),
                (21, "alone", "-- no-transaction\nselect 3", true)
            ]
        );
    }

    #[test]
    fn what_is_no_migration_is_named() {
        for name in ["notes.txt", "0001.sql", "first_one.sql"] {
            let file = DirEntry::File(File::new(name, b""));
            let files: &'static [DirEntry<'static>] = Box::leak(Box::new([file]));
            let folder: &'static Dir<'static> = Box::leak(Box::new(Dir::new("", files)));
            assert!(embedded(folder).expect_err(name).to_string().contains(name));
        }
    }
}
