package validators

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/internal/pattern"
)

// A dataImage is an official image of a database, and where it keeps its data.
type dataImage struct {
	name        string // its repository, without docker.io and library
	from, below int    // major versions; below is 0 where there is no end
	data        string // the path of the data; %d in it is the major version
	declared    string // the volume that the image declares, which holds data
	moves       []string
	config      []string // where files of configuration are, which may move the data

	// What of the words of a program is the path of the data, if it takes that without an
	// option; usage says how.
	arguments func(words []word) []word
	usage     string
}

// dataImages are few, and each has its source, as it was read on the day beside it.
// Moves are variables, options and words of files that lead to another path.
var dataImages = []dataImage{
	// docker-library/docs postgres/content.md, PGDATA; docker-library/postgres
	// 18/trixie/Dockerfile, on what was before 18; 2026-11-29.
	{name: "postgres", from: 8, below: 18, data: "/var/lib/postgresql/data", declared: "/var/lib/postgresql/data",
		moves: []string{"PGDATA", "-D", "data_directory", "config_file"}},
	// docker-library/postgres 18/trixie/Dockerfile, PGDATA and VOLUME; 2026-11-29.
	{name: "postgres", from: 18, data: "/var/lib/postgresql/%d/docker", declared: "/var/lib/postgresql",
		moves: []string{"PGDATA", "-D", "data_directory", "config_file"}},
	// docker-library/mysql 8.4/Dockerfile.oracle, VOLUME; 2026-11-29.
	{name: "mysql", data: "/var/lib/mysql", declared: "/var/lib/mysql",
		moves: []string{"datadir", "defaults"}, config: []string{"/etc"}},
	// docker-library/docs mariadb/content.md, where to store data; MariaDB/mariadb-docker
	// 11.4/Dockerfile, VOLUME; 2026-11-29.
	{name: "mariadb", data: "/var/lib/mysql", declared: "/var/lib/mysql",
		moves: []string{"datadir", "defaults"}, config: []string{"/etc"}},
	// docker-library/docs mongo/content.md, where to store data; docker-library/mongo
	// 8.0/Dockerfile, VOLUME; 2026-11-29.
	{name: "mongo", data: "/data/db", declared: "/data/db",
		moves: []string{"dbpath", "config", "-f", "mongos", "--configsvr"}},
	// docker-library/docs redis/content.md, persistent storage; 2026-11-29.
	{name: "redis", data: "/data", declared: "/data", moves: []string{"--dir", "conf", "redis-cli", "sentinel"}},
	// docker-library/docs rabbitmq/content.md, running the daemon; 2026-11-29.
	{name: "rabbitmq", data: "/var/lib/rabbitmq/mnesia", declared: "/var/lib/rabbitmq",
		moves: []string{"RABBITMQ_MNESIA", "RABBITMQ_CONFIG", "RABBITMQ_HOME"}, config: []string{"/etc/rabbitmq"}},

	// Of those above none takes the path without an option.
	//
	// minio/minio cmd/server-main.go, serverCmd and serverCmdArgs, Dockerfile.release;
	// minio/cli command.go, Run; 2026-11-29.
	{name: "minio/minio", arguments: minioArguments, usage: "minio server DIR", moves: minioMoves, config: minioConfig},
	{name: "quay.io/minio/minio", arguments: minioArguments, usage: "minio server DIR", moves: minioMoves,
		config: minioConfig},
	// surrealdb.com/docs/reference/cli/db/commands/start, [PATH]; surrealdb/surrealdb
	// docker/Dockerfile; 2026-11-29. An argument wins over SURREAL_PATH.
	{name: "surrealdb/surrealdb", arguments: surrealArguments, usage: "surreal start PATH"},
	// rqlite/rqlite cmd/rqlited/flags.toml, DataPath, and docker-entrypoint.sh, which adds
	// $DATA_DIR only where an option comes first; 2026-11-29.
	{name: "rqlite/rqlite", arguments: rqliteArguments, usage: "rqlited DIR"},
}

// minioMoves are variables that take the place of arguments, or name a file of them;
// minioConfig is where such a file is by default.
var (
	minioMoves  = []string{"MINIO_ARGS", "MINIO_VOLUMES", "MINIO_ENDPOINTS", "MINIO_CONFIG"}
	minioConfig = []string{"/run/secrets", "/config.env"}
)

// minioArguments returns the directories of a MinIO server. One URL is that of every
// member, and so of this one; of several some are others'.
func minioArguments(words []word) (dirs []word) {
	for i := subcommand(words, "minio", "server"); i > 0 && i < len(words); i++ {
		option, _, given := strings.Cut(words[i].text, "=")
		if !strings.HasPrefix(option, "-") {
			dirs = append(dirs, words[i])
			continue
		}
		switch strings.TrimLeft(option, "-") {
		case "config":
			return nil
		case "", "quiet", "anonymous", "json", "log-compress":
		default:
			if !given {
				i++ // its value
			}
		}
	}
	if len(dirs) == 1 {
		if m := urlPath().FindStringSubmatch(dirs[0].text); m != nil {
			dirs[0].text = m[1]
		}
	}
	return dirs
}

var urlPath = pattern.Lazy(`^https?://[^/]+(/.+)$`)

// surrealArguments returns the path of a database of SurrealDB on disk.
func surrealArguments(words []word) (paths []word) {
	for i := subcommand(words, "surreal", "start"); i > 0 && i < len(words); i++ {
		if m := surrealPath().FindStringSubmatch(words[i].text); m != nil {
			words[i].text = m[1]
			paths = append(paths, words[i])
		}
	}
	return paths
}

var surrealPath = pattern.Lazy(`^(?:file|rocksdb|surrealkv(?:\+versioned)?):(?://)?(/[^?]+)(?:\?.*)?$`)

// rqliteArguments returns the directory of an rqlite node: its last argument, without
// which it does not start.
func rqliteArguments(words []word) []word {
	if from := subcommand(words, "rqlited"); from > 0 && from < len(words) {
		return words[len(words)-1:]
	}
	return nil
}

// subcommand returns the index behind the names of a program and its subcommands, or
// 0 where others are run. The script by which an image begins may stand before them,
// and that may add the program.
func subcommand(words []word, names ...string) int {
	i := 0
	if i < len(words) && strings.HasSuffix(words[i].text, "/docker-entrypoint.sh") {
		i++
	}
	if len(names) > 1 && i < len(words) && path.Base(words[i].text) != names[0] {
		names = names[1:]
	}
	for _, name := range names {
		if i >= len(words) || path.Base(words[i].text) != name {
			return 0
		}
		i++
	}
	return i
}

// officialImage returns the row of an image and its major version, or nil where it
// is no official one of the table or its version is not known to be in it.
func officialImage(image string) (row *dataImage, major int) {
	image, _, _ = strings.Cut(image, "@")
	repository, tag := image, ""
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		repository, tag = image[:i], image[i+1:]
	}
	name := strings.TrimPrefix(strings.TrimPrefix(repository, "docker.io/"), "library/")
	digits := len(tag) - len(strings.TrimLeft(tag, "0123456789"))
	major, err := strconv.Atoi(tag[:digits])
	for i := range dataImages {
		r := &dataImages[i]
		switch {
		case r.name != name:
		case r.from == 0 || err == nil && r.from <= major && (r.below == 0 || major < r.below):
			return r, major
		}
	}
	return nil, 0
}

// path returns the path of the data in a major version.
func (r *dataImage) path(major int) string {
	return strings.ReplaceAll(r.data, "%d", strconv.Itoa(major))
}

// hides says whether the volume that the image declares lies below a mount, and so
// hides what is there. A mount at the same path takes its place.
func (r *dataImage) hides(mount string) bool {
	return mount != "" && mount != r.declared && inside(r.declared, mount)
}

// beside reports a lasting volume that a container mounts beside its image's data,
// if nothing in the container may lead the data elsewhere.
func (r *dataImage) beside(p *Pass, vols podVolumes, c *corev1.Container, major int, at *field.Path) {
	i := vols.lastingMount(c)
	if i < 0 || r.data == "" || len(c.Command) > 0 || len(c.EnvFrom) > 0 || r.moved(c) {
		return
	}
	data := r.path(major)
	mount, volume := mountOf(c, data)
	if volume != "" && !r.hides(mount) {
		return
	}
	p.Report(field.Invalid(at.Child("volumeMounts").Index(i).Child("mountPath"), short(c.VolumeMounts[i].MountPath),
		fmt.Sprintf("must be %s; the image's data there goes with the container", r.declared)),
		copyOut+"mountPath: "+r.declared)
}

// moved says whether anything in a container may lead the data to another path.
func (r *dataImage) moved(c *corev1.Container) bool {
	for _, word := range r.moves {
		for i := range c.Env {
			if strings.HasPrefix(c.Env[i].Name, word) {
				return true
			}
		}
		for _, arg := range c.Args {
			if strings.Contains(arg, word) {
				return true
			}
		}
	}
	for i := range c.VolumeMounts {
		mount := path.Clean(c.VolumeMounts[i].MountPath)
		if slices.ContainsFunc(r.config, func(file string) bool { return inside(mount, file) }) {
			return true
		}
	}
	return false
}
