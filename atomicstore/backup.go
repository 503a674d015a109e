package atomicstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// Backup is a data.json that was replaced.
type Backup struct {
	Path  string    `json:"path"`
	Epoch string    `json:"epoch"` // "" when it cannot be read
	Seq   uint64    `json:"seq"`   // the last change in it
	Time  time.Time `json:"time"`  // when it was replaced, UTC
	Size  int64     `json:"size"`  // bytes
}

// stampLayout is how times stand in names of files.
const stampLayout = "20060102T150405.000Z"

func backupName(seq uint64, now time.Time) string {
	return fmt.Sprintf("backup-%d-%s.json", seq, now.UTC().Format(stampLayout))
}

func parseBackupName(name string) (b Backup, ok bool) {
	rest, ok := strings.CutPrefix(name, "backup-")
	if !ok {
		return b, false
	}
	rest, ok = strings.CutSuffix(rest, ".json")
	if !ok {
		return b, false
	}
	number, when, _ := strings.Cut(rest, "-")
	var err error
	if b.Seq, err = strconv.ParseUint(number, 10, 64); err != nil {
		return b, false
	}
	b.Time, err = time.Parse(stampLayout, when)
	return b, err == nil
}

// listBackups returns the backups of a folder, oldest first, as their names
// tell.
func listBackups(files vfs.FS, dir string) ([]Backup, error) {
	if dir == "" {
		return nil, nil
	}
	names, err := files.Names(dir)
	if err != nil {
		return nil, err
	}
	var list []Backup
	for _, name := range names {
		if b, ok := parseBackupName(name); ok {
			b.Path = filepath.Join(dir, name)
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b Backup) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), a.Time.Compare(b.Time))
	})
	return list, nil
}

// backupCache remembers what was read from backups, which never change.
type backupCache map[string]Backup

// list returns the backups of a folder in full, oldest first.
func (known backupCache) list(files vfs.FS, dir string) ([]Backup, error) {
	list, err := listBackups(files, dir)
	if err != nil {
		return nil, err
	}
	for path := range known {
		if !slices.ContainsFunc(list, func(b Backup) bool { return b.Path == path }) {
			delete(known, path)
		}
	}
	for i := range list {
		b := &list[i]
		if k, found := known[b.Path]; found {
			*b = k
			continue
		}
		id, err := files.Stat(b.Path)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b.Size = id.Size
		b.Epoch = epochOf(files, b.Path)
		known[b.Path] = *b
	}
	return list, nil
}

// epochOf reads the epoch from the first lines of a snapshot.
func epochOf(files vfs.FS, path string) string {
	f, err := files.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.ReadAt(head, 0)
	for line := range strings.Lines(string(head[:n])) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		epoch := strings.Trim(value, `", `)
		if _, ok := parseEpoch(epoch); ok && name == `"epoch"` {
			return epoch
		}
	}
	return ""
}

// Backups returns the backups of a folder, oldest first.
func Backups(backupDir string) ([]Backup, error) {
	list, err := backupCache{}.list(vfs.Disk{}, backupDir)
	if err != nil {
		return nil, prefixed(fmt.Errorf("list backups: %w", err))
	}
	return list, nil
}

// Backups returns the backups of the store, oldest first.
func (s *Store[S, E]) Backups() ([]Backup, error) {
	list, err := backupCache{}.list(s.opts.FS, s.opts.BackupDir)
	if err != nil {
		return nil, prefixed(fmt.Errorf("list backups: %w", err))
	}
	return list, nil
}

func (s *Store[S, E]) backups() ([]Backup, error) { return listBackups(s.opts.FS, s.opts.BackupDir) }

func (f *dataFile) makeBackup(path string, seq uint64, replaced time.Time) (string, error) {
	to, err := f.linkBackup(path, seq, replaced)
	if err != nil {
		return "", err
	}
	// Two names until one is certainly on disk.
	return to, f.fs.Remove(path)
}

// copyBackup writes a backup of a state that no data.json holds.
func (f *dataFile) copyBackup(write func(io.Writer) error, seq uint64) error {
	if f.backupDir == "" {
		return nil
	}
	temp := f.temp(newTempName())
	defer f.fs.Remove(temp)
	if _, _, err := f.prepare(temp, write); err != nil {
		return err
	}
	if _, err := f.linkFresh(temp, seq, time.Now()); err != nil {
		return err
	}
	return f.fs.SyncDir(f.backupDir)
}

// copied notes whether the data.json that an epoch begins with has its backup.
func (f *dataFile) copied(err error) {
	f.notCopied = err
	f.noteMissing()
}

// copyPresent writes a backup of what data.json holds, the state after a change,
// if that is the store's.
func (f *dataFile) copyPresent(seq uint64) error {
	if c, err := f.look(f.path()); err != nil || c.owner != ours {
		return err
	}
	present, err := f.fs.Open(f.path())
	if err != nil {
		return err
	}
	defer present.Close()
	err = f.copyBackup(func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(present, 0, math.MaxInt64))
		return err
	}, seq)
	f.copied(err)
	return err
}

// linkFresh gives a file the name of a backup of a time, or of shortly after it
// where that is taken.
func (f *dataFile) linkFresh(path string, seq uint64, when time.Time) (to string, err error) {
	for ; ; when = when.Add(time.Millisecond) {
		to = filepath.Join(f.backupDir, backupName(seq, when))
		if err := f.fs.Link(path, to); !errors.Is(err, fs.ErrExist) {
			return to, err
		}
	}
}

// linkBackup gives a data.json that was replaced, or is about to be, a second
// name in the backup folder, durably.
func (f *dataFile) linkBackup(path string, seq uint64, replaced time.Time) (to string, err error) {
	id, err := f.fs.Stat(path)
	if err != nil {
		return "", err
	}
	list, err := listBackups(f.fs, f.backupDir)
	if err != nil {
		return "", err
	}
	for _, b := range list {
		if b.Seq != seq {
			continue
		}
		other, err := f.fs.Stat(b.Path)
		if err == nil && other.Size == id.Size && f.same(b.Path, path) {
			to = b.Path // the first of an epoch, or a crash came between link and remove
		}
	}
	if to == "" {
		if to, err = f.linkFresh(path, seq, replaced); err != nil {
			return "", err
		}
	}
	return to, f.fs.SyncDir(f.backupDir)
}
