package validators

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A dataImage is an official image of a database, and where it keeps its data.
type dataImage struct {
	name        string
	from, below int    // major versions; below is 0 where there is no end
	data        string // the path of the data; %d in it is the major version
	declared    string // the volume that the image declares, which holds data
	moves       []string
	config      string // a directory of configuration files, which may move the data
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
		moves: []string{"datadir", "defaults"}, config: "/etc"},
	// docker-library/docs mariadb/content.md, where to store data; MariaDB/mariadb-docker
	// 11.4/Dockerfile, VOLUME; 2026-11-29.
	{name: "mariadb", data: "/var/lib/mysql", declared: "/var/lib/mysql",
		moves: []string{"datadir", "defaults"}, config: "/etc"},
	// docker-library/docs mongo/content.md, where to store data; docker-library/mongo
	// 8.0/Dockerfile, VOLUME; 2026-11-29.
	{name: "mongo", data: "/data/db", declared: "/data/db",
		moves: []string{"dbpath", "config", "-f", "mongos", "--configsvr"}},
	// docker-library/docs redis/content.md, persistent storage; 2026-11-29.
	{name: "redis", data: "/data", declared: "/data", moves: []string{"--dir", "conf", "redis-cli", "sentinel"}},
	// docker-library/docs rabbitmq/content.md, running the daemon; 2026-11-29.
	{name: "rabbitmq", data: "/var/lib/rabbitmq/mnesia", declared: "/var/lib/rabbitmq",
		moves: []string{"RABBITMQ_MNESIA", "RABBITMQ_CONFIG", "RABBITMQ_HOME"}, config: "/etc/rabbitmq"},
}

// officialImage returns the row of an image and its major version, or nil where it
// is no official one of the table or its version is not known to be in it.
func officialImage(image string) (row *dataImage, major int) {
	image, _, _ = strings.Cut(image, "@")
	repository, tag := image, ""
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		repository, tag = image[:i], image[i+1:]
	}
	name := path.Base(repository)
	switch strings.TrimSuffix(repository, name) {
	case "", "library/", "docker.io/", "docker.io/library/":
	default:
		return nil, 0
	}
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
	if i < 0 || len(c.Command) > 0 || len(c.EnvFrom) > 0 || r.moved(c) {
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
		if r.config != "" && inside(path.Clean(c.VolumeMounts[i].MountPath), r.config) {
			return true
		}
	}
	return false
}
