package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/renameio/v2"
	raftwal "github.com/hashicorp/raft-wal"

	"github.com/hashicorp/raft"
	"github.com/tidwall/buntdb"
	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite"
)

// store is a peer that is open. put returns when the event is on disk; the
// calls of one writer w do not overlap.
type store interface {
	put(w int, e event) error
	Close() error
}

// peer is one way to keep changes. open makes it in an empty directory.
type peer struct {
	name string
	what string // for the notes under the table
	open func(dir string) (store, error)
}

const (
	nameOurs   = "atomicstore"
	nameIdeal  = "ideal loop"
	namePebble = "Pebble Sync"
)

var peers = []peer{
	{nameOurs, "default options; the state is a tidwall/btree.Map", openOurs},
	{nameIdeal, "one loop, one write and one fdatasync a batch in a file of zeros; encodes and decodes the event as JSON, sets one key of a map; no checksum, reader, recovery or checkpoint", openIdeal},
	{namePebble, "cockroachdb/pebble/v2, default options, Set with pebble.Sync; the writer encodes the event", openPebble},
	{"bbolt Update", "one transaction an event", openBolt},
	{"bbolt Batch", "default MaxBatchSize and MaxBatchDelay (10 ms)", openBoltBatch},
	{"SQLite WAL", "modernc.org/sqlite, journal_mode=WAL, synchronous=FULL, one connection, one prepared upsert an event", openSQLite},
	{"buntdb Always", "SyncPolicy Always, one transaction an event", openBunt},
	{"raft-wal", "hashicorp/raft-wal behind a loop that appends up to 64 entries at once, as raft's leader does", openRaftWAL},
	{"JSON file", "the whole state, 4,096 entries, encoded and replaced with renameio for each event", openJSONFile},
}

type pebbleStore struct{ *pebble.DB }

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(format) }

func openPebble(dir string) (store, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	return pebbleStore{db}, err
}

func (s pebbleStore) put(_ int, e event) error {
	return s.Set([]byte(e.Put.Key), encode(e), pebble.Sync)
}

type boltStore struct {
	*bbolt.DB
	write func(func(*bbolt.Tx) error) error
}

var bucket = []byte("events")

func openBolt(dir string) (store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return boltStore{db, db.Update}, nil
}

func openBoltBatch(dir string) (store, error) {
	s, err := openBolt(dir)
	if err != nil {
		return nil, err
	}
	db := s.(boltStore).DB
	return boltStore{db, db.Batch}, nil
}

func (s boltStore) put(_ int, e event) error {
	data := encode(e)
	return s.write(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte(e.Put.Key), data) })
}

type sqliteStore struct {
	*sql.DB
	upsert *sql.Stmt
}

func openSQLite(dir string) (store, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // it has one writer at a time in any case
	if _, err := db.Exec(`CREATE TABLE events (key TEXT PRIMARY KEY, event BLOB) WITHOUT ROWID`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	upsert, err := db.Prepare(`INSERT OR REPLACE INTO events VALUES (?, ?)`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return sqliteStore{db, upsert}, nil
}

func (s sqliteStore) put(_ int, e event) error {
	_, err := s.upsert.Exec(e.Put.Key, encode(e))
	return err
}

type buntStore struct{ *buntdb.DB }

func openBunt(dir string) (store, error) {
	db, err := buntdb.Open(filepath.Join(dir, "db"))
	if err != nil {
		return nil, err
	}
	var config buntdb.Config
	err = db.ReadConfig(&config)
	if err == nil {
		config.SyncPolicy = buntdb.Always
		err = db.SetConfig(config)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return buntStore{db}, nil
}

func (s buntStore) put(_ int, e event) error {
	data := string(encode(e))
	return s.Update(func(tx *buntdb.Tx) error {
		_, _, err := tx.Set(e.Put.Key, data, nil)
		return err
	})
}

// raftStore appends as the leader of a cluster does: one goroutine, whatever
// waits at once, up to raft's default MaxAppendEntries.
type raftStore struct {
	wal   *raftwal.WAL
	queue chan raftPut
	ended chan struct{}
	done  [maxWriters]chan error
}

type raftPut struct {
	data []byte
	done chan error
}

const maxAppendEntries = 64

func openRaftWAL(dir string) (store, error) {
	wal, err := raftwal.Open(dir)
	if err != nil {
		return nil, err
	}
	s := &raftStore{wal: wal, queue: make(chan raftPut, maxWriters), ended: make(chan struct{})}
	for i := range s.done {
		s.done[i] = make(chan error, 1)
	}
	go s.loop()
	return s, nil
}

func (s *raftStore) put(w int, e event) error {
	s.queue <- raftPut{encode(e), s.done[w]}
	return <-s.done[w]
}

func (s *raftStore) loop() {
	defer close(s.ended)
	index := uint64(0)
	for first := range s.queue {
		batch := []raftPut{first}
		for more := true; more && len(batch) < maxAppendEntries; {
			select {
			case p, ok := <-s.queue:
				if more = ok; ok {
					batch = append(batch, p)
				}
			default:
				more = false
			}
		}
		logs := make([]*raft.Log, len(batch))
		for i, p := range batch {
			index++
			logs[i] = &raft.Log{Index: index, Data: p.data}
		}
		err := s.wal.StoreLogs(logs)
		for _, p := range batch {
			p.done <- err
		}
	}
}

func (s *raftStore) Close() error {
	close(s.queue)
	<-s.ended
	return s.wal.Close()
}

// jsonFile rewrites everything each time.
type jsonFile struct {
	path  string
	mu    sync.Mutex // guards state and the file
	state map[string]*put
}

func openJSONFile(dir string) (store, error) {
	s := &jsonFile{path: filepath.Join(dir, "data.json"), state: map[string]*put{}}
	for _, e := range events {
		s.state[e.Put.Key] = e.Put
	}
	return s, nil
}

func (s *jsonFile) put(_ int, e event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state[e.Put.Key] = e.Put
	data, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.path, data, 0o600, renameio.WithTempDir(filepath.Dir(s.path)))
}

func (s *jsonFile) Close() error { return nil }
