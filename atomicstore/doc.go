// Package atomicstore keeps one typed state in memory and every change to it
// on disk.
//
// A program opens a [Store] with its state and a function that applies an
// event to it. [Store.Update] decides which events happen, writes them to a
// log, and returns when they are on disk; [Store.State] gives the state without
// waiting for anything; [Store.Changes] gives every change, in order, to
// whoever has to follow.
//
// Package storetest tests what the store takes for granted of a program's own
// state: that Apply is deterministic, that clones are independent, that JSON
// loses nothing.
//
// # Promises
//
//   - What Update acknowledged is there after a crash, a kill or a power cut,
//     in order; no change is there by half, and none that nobody made.
//   - Nothing is visible to State, Changes or a refusal before it is on disk.
//   - Readers take no lock and never wait for the disk. When the disk hangs or
//     fails they read on; the store takes no more changes ([ErrFailed]).
//   - A full disk refuses updates before anything fails ([ErrDiskFull]), and
//     takes them again when there is room.
//   - A batch that was cut off by a crash is dropped; damage to data that had
//     been acknowledged stops Open with a [*CorruptError] and is never served.
//     So does a log that is gone, or its newest segments, unless the store was
//     closed before.
//   - A change costs as much as the change, not as much as the state.
//
// # Not promised
//
//   - Nothing against a disk that says it has written and has not.
//   - The state must fit into memory. A checkpoint writes its JSON piece by
//     piece; only what a MarshalJSON makes is held as a whole. A state of large
//     containers does better with MarshalJSONTo (encoding/json/v2).
//   - One process at a time, on a local file system with flock (Unix).
//   - Damage in the very last batch cannot be told from one that was cut off
//     until a second after it, when another batch confirms it.
//   - A segment of the log that is removed by hand, in the second after it was
//     begun and a crash, is not missed: MANIFEST does not name it yet.
//   - A data.json that is copied over the present one, byte for byte the same,
//     changes nothing.
//
// # Backups
//
// With [Options.BackupDir], every data.json that is replaced stays as a backup:
// the newest 50, one an hour for a day, and what the latest 50 changes build on,
// so that [RestoreBefore] undoes any of them exactly. [Restore] goes back to a
// backup. Nothing older than [Options.MaxAge] stays, in the log neither.
//
// # The operator's hand
//
// Copy a backup over data.json and start the program again: that restores it.
// So does an edited file, or one that [Options.Import] understands. While the
// store is open it looks for such a file every second and never writes over
// it; from then on Update returns [ErrReplaced]. What was newer is set aside in
// the backup folder, or beside data.json without one, not lost.
//
// # Looking in
//
// [Look], [Verify], [Records], [ReadSnapshot] and [Backups] read a directory
// without its types, beside a running store, and change nothing; of damage, Look
// and Verify say what the next Open does about it. [PlanRestore] says what a
// restore would do. cmd/storectl puts all of them, and the restores, on the
// command line.
//
// # On disk
//
//	data.json    the state at some position, readable, replaced as a whole
//	MANIFEST     tells a data.json of the store from one that somebody put there
//	wal/         the log since then and somewhat before, in segments
//	LOCK         held while the store is open
//	BackupDir/   backup-<seq>-<time>.json: earlier data.json files; set-aside-<time>-<name>
//
// FORMAT.md describes the bytes.
package atomicstore
