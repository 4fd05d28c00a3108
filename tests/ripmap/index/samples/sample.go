package store

import (
	"fmt"
	log "github.com/acme/log"
)

// Store keeps items.
type Store struct {
	items map[string]int
}

type Loader interface {
	Load(key string) (int, error)
}

// Get finds one item.
func (s *Store) Get(key string) (int, error) {
	log.Info(key)
	return s.items[key], fmt.Errorf("no such item here: %s", key)
}

func New() *Store {
	st := &Store{}
	st.Get("x")
	return st
}

const Limit = 3
var Default = New()
