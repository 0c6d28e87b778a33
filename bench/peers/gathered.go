// A grant with net/http and redigo. With GATHERED set, calls that come at once go to Redis on one connection and in
// one piece; otherwise each takes a connection from a pool, as is usual. bench/peers/README.md has the environment.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

const route = "/discount/{discount_id}/grant"

var refusals = map[string]int{"not-found": 404, "closed": 409, "paused": 409, "expired": 409, "not-started": 409, "sold-out": 409}

// A constant, and the variable that follows it, by its place in `variables`; -1 is none.
type part struct {
	constant string
	variable int
}

var variables = []string{"discount", "user", "bucket", "group"}

// The words of the grant's command.
type command struct {
	words           [][]part
	buckets, groups uint32
}

func readCommand() command {
	var words []string
	if err := json.Unmarshal([]byte(os.Getenv("COMMAND")), &words); err != nil {
		log.Fatal(err)
	}
	c := command{buckets: number("BUCKETS"), groups: number("GROUPS")}
	for _, word := range words {
		c.words = append(c.words, split(word))
	}
	return c
}

func split(word string) (parts []part) {
	for {
		constant, rest, found := strings.Cut(word, "<")
		if !found {
			return append(parts, part{word, -1})
		}
		name, after, _ := strings.Cut(rest, ">")
		for i, variable := range variables {
			if name == variable {
				parts = append(parts, part{constant, i})
			}
		}
		word = after
	}
}

func number(name string) uint32 {
	n, err := strconv.ParseUint(os.Getenv(name), 10, 32)
	if err != nil {
		log.Fatal(name, ": ", err)
	}
	return uint32(n)
}

func (c *command) fill(discount, user string) []interface{} {
	sum := crc32.ChecksumIEEE([]byte(user))
	values := []string{
		discount, user, strconv.FormatUint(uint64(sum%c.buckets), 10), strconv.FormatUint(uint64(sum%c.groups), 10),
	}
	filled := make([]interface{}, len(c.words))
	for i, parts := range c.words {
		text := parts[0].constant
		for n, each := range parts {
			if n > 0 {
				text += each.constant
			}
			if each.variable >= 0 {
				text += values[each.variable]
			}
		}
		filled[i] = text
	}
	return filled
}

type answer struct {
	values []interface{}
	err    error
}

type call struct {
	words []interface{}
	done  chan answer
}

// What sends a command to Redis.
type sender func(words []interface{}) ([]interface{}, error)

func dial() (redis.Conn, error) { return redis.Dial("unix", os.Getenv("REDIS_SOCKET")) }

func pooled() sender {
	pool := &redis.Pool{MaxIdle: 64, Dial: dial}
	return func(words []interface{}) ([]interface{}, error) {
		conn := pool.Get()
		defer conn.Close()
		return redis.Values(conn.Do("EVALSHA", words...))
	}
}

// One goroutine writes what waits, and then flushes; another one reads.
func gathered() sender {
	conn, err := dial()
	if err != nil {
		log.Fatal(err)
	}
	calls, sent := make(chan *call, 1024), make(chan *call, 4096)
	go func() {
		for c := range sent {
			values, err := redis.Values(conn.Receive())
			c.done <- answer{values, err}
		}
	}()
	go func() {
		for c := range calls {
			for more := true; more; {
				conn.Send("EVALSHA", c.words...)
				sent <- c
				select {
				case c = <-calls:
				default:
					more = false
				}
			}
			conn.Flush()
		}
	}()
	channels := sync.Pool{New: func() interface{} { return make(chan answer, 1) }}
	return func(words []interface{}) ([]interface{}, error) {
		done := channels.Get().(chan answer)
		calls <- &call{words, done}
		got := <-done
		channels.Put(done)
		return got.values, got.err
	}
}

// A file of log lines, written once a second or when 32 KB wait.
type lines struct {
	sync.Mutex
	*bufio.Writer
}

func openLines() *lines {
	file, err := os.OpenFile(os.Getenv("LOG"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	l := &lines{Writer: bufio.NewWriterSize(file, 32768)}
	go func() {
		for range time.Tick(time.Second) {
			l.Lock()
			l.Flush()
			l.Unlock()
		}
	}()
	return l
}

func (l *lines) write(entry interface{}) {
	text, _ := json.Marshal(entry)
	l.Lock()
	l.Write(append(text, '\n'))
	l.Unlock()
}

type entry struct {
	RequestID string    `json:"request_id"`
	Method    string    `json:"method"`
	Route     string    `json:"route"`
	Status    int       `json:"status"`
	MS        float64   `json:"ms"`
	Event     string    `json:"event"`
	Level     string    `json:"level"`
	Time      time.Time `json:"time"`
}

type grantIn struct {
	UserID string `json:"user_id"`
}

type grantOut struct {
	DiscountID string  `json:"discount_id"`
	UserID     string  `json:"user_id"`
	Granted    bool    `json:"granted"`
	Code       string  `json:"code"`
	GrantedAt  string  `json:"granted_at"`
	GoodUntil  *string `json:"good_until"`
	Void       bool    `json:"void"`
}

type server struct {
	command command
	send    sender
	log     *lines
}

func refuse(w http.ResponseWriter, status int, slug string) int {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"/problems/%s","status":%d}`, slug, status)
	return status
}

func (s *server) grant(w http.ResponseWriter, r *http.Request, discount, requestID string) int {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 65536))
	var in grantIn
	if err != nil || json.Unmarshal(raw, &in) != nil || len(in.UserID) < 1 || len(in.UserID) > 128 {
		return refuse(w, 422, "invalid")
	}
	values, err := s.send(s.command.fill(discount, in.UserID))
	if err != nil {
		return refuse(w, 503, "unavailable")
	}
	word, _ := redis.String(values[0], nil)
	if word != "granted" && word != "held" {
		return refuse(w, refusals[word], word)
	}
	value, _ := redis.String(values[1], nil)
	at, code, _ := strings.Cut(value, " ")
	micros, _ := strconv.ParseInt(at, 10, 64)
	body, _ := json.Marshal(grantOut{
		DiscountID: discount, UserID: in.UserID, Granted: true, Code: code,
		GrantedAt: time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z"),
	})
	head := w.Header()
	head["Content-Type"] = []string{"application/json"}
	head["Content-Length"] = []string{strconv.Itoa(len(body))}
	head["X-Request-Id"] = []string{requestID}
	head["Cache-Control"] = []string{"no-store"}
	head["Content-Security-Policy"] = []string{"default-src 'none'; frame-ancestors 'none'"}
	head["Referrer-Policy"] = []string{"no-referrer"}
	head["X-Content-Type-Options"] = []string{"nosniff"}
	status := 200
	if word == "granted" {
		status = 201
	}
	w.WriteHeader(status)
	w.Write(body)
	return status
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	random := make([]byte, 16)
	rand.Read(random)
	id, path, status := hex.EncodeToString(random), r.URL.Path, 0
	if r.Method == "POST" && strings.HasPrefix(path, "/discount/") && strings.HasSuffix(path, "/grant") {
		status = s.grant(w, r, path[len("/discount/"):len(path)-len("/grant")], id)
	} else {
		status = refuse(w, 404, "not-found")
	}
	took := float64(time.Since(started).Microseconds()/10) / 100
	s.log.write(entry{id, r.Method, route, status, took, "request", "info", started.UTC()})
}

func main() {
	s := &server{command: readCommand(), log: openLines()}
	if os.Getenv("GATHERED") != "" {
		s.send = gathered()
	} else {
		s.send = pooled()
	}
	log.Fatal((&http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: s}).ListenAndServe())
}
