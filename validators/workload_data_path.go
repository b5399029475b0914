package validators

import (
	"fmt"
	"path"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
	"stayput.dev/internal/pattern"
)

var workloadDataPath = &Rule{
	Name:  "workload-data-path",
	Level: Warn,
	Loses: LosesData,
	Doc: `what a container calls its data must lie in a volume that outlives the Pod

A database writes to the path in PGDATA, --storage.tsdb.path or --data-dir, and
not to the path where its claim is mounted. If no volume is mounted at that
path, the data is in the container's own file system, and is lost when the
container restarts; if an emptyDir is, the data is lost with the Pod. The claim
is bound, mounted and empty, and nobody notices before the first restart. The
same happens where the claim is mounted above or beside the path: an image may
declare a volume of its own, as PostgreSQL's does at /var/lib/postgresql/data up
to version 17. The container then gets a volume there that is lost with it, even
if a claim is mounted at /var/lib/postgresql.

Mount the claim at the path, or at a directory that contains it. The rule reads
env, command and args, and the script of a shell if it is one simple command. It
knows the default paths of the official images of databases, and the arguments of
those that take the path without an option, such as minio server DIR. It ignores
a workload without any volume that outlives the Pod, which may be intended
(statefulset-no-storage).`,

	Exempt: "the data at the path can be created again, such as a cache or a replica's copy",

	Checks: ofPods(func(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		vols := podVolumes{spec: spec}
		if sts, ok := obj.(*appsv1.StatefulSet); ok {
			vols.set, vols.templates = true, sts.Spec.VolumeClaimTemplates
		}
		if !vols.anyLasts() {
			return nil
		}
		for i := range spec.Containers {
			dataPaths(p, vols, &spec.Containers[i], at, i)
		}
		return nil
	}, []string{"volumes", "containers[*].env", "containers[*].envFrom", "containers[*].command", "containers[*].args",
		"containers[*].image", "containers[*].volumeMounts", "containers[*].volumeDevices"}, "spec.volumeClaimTemplates"),
}

// podVolumes are the volumes of a Pod, and the claim templates of its StatefulSet.
type podVolumes struct {
	spec      *corev1.PodSpec
	set       bool // of a StatefulSet
	templates []corev1.PersistentVolumeClaim
}

// fate says whether a volume goes with the Pod, and whether it outlives it.
// Neither is so of one that only provides files, or that there is not.
func (v podVolumes) fate(name string) (goes, lasts bool) {
	for i := range v.templates {
		if v.templates[i].Name == name {
			return false, true
		}
	}
	for i := range v.spec.Volumes {
		if v.spec.Volumes[i].Name == name {
			return afterPod(&v.spec.Volumes[i])
		}
	}
	return false, false
}

func afterPod(v *corev1.Volume) (goes, lasts bool) {
	goes = v.EmptyDir != nil || v.Ephemeral != nil || v.VolumeSource == corev1.VolumeSource{}
	return goes, !goes && !files(v.VolumeSource)
}

func (v podVolumes) lasts(name string) bool {
	_, lasts := v.fate(name)
	return lasts
}

func (v podVolumes) anyLasts() bool {
	for i := range v.spec.Volumes {
		if _, lasts := afterPod(&v.spec.Volumes[i]); lasts {
			return true
		}
	}
	return len(v.templates) > 0
}

// lastingMount returns the index of the first mount of a container to which it may
// write and whose volume outlives the Pod, or -1.
func (v podVolumes) lastingMount(c *corev1.Container) int {
	return slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return v.lasts(m.Name) && !m.ReadOnly })
}

// lastsElsewhere says whether another container has the path on a lasting volume:
// then what this one has there is no data of its own.
func (v podVolumes) lastsElsewhere(c *corev1.Container, path string) bool {
	return slices.ContainsFunc(v.spec.Containers, func(other corev1.Container) bool {
		_, volume := mountOf(&other, path)
		return other.Name != c.Name && v.lasts(volume)
	})
}

// A namedPath is one that a container calls its data.
type namedPath struct {
	at         *field.Path // of the text
	name, path string      // PGDATA, /var/lib/postgresql/data
}

// dataPaths reports the data of a container that no lasting volume holds.
func dataPaths(p *Pass, vols podVolumes, c *corev1.Container, podAt *field.Path, index int) {
	image, major := officialImage(c.Image)
	if image == nil && !namesData(c) {
		return
	}
	at := podAt.Child("containers").Index(index)
	all := namedPaths(c, image, at)
	for _, named := range all {
		mount, volume := mountOf(c, named.path)
		goes, _ := vols.fate(volume)
		hidden := image != nil && image.hides(mount) && inside(named.path, image.declared)
		if volume != "" && !goes && !hidden || vols.lastsElsewhere(c, named.path) {
			continue
		}
		report := func(what, remedy string) {
			p.Report(field.Invalid(named.at, short(named.path), "must lie in a volume that outlives the Pod; "+what), remedy)
		}
		mountAt := func(path string) string {
			lasting := "<volume>"
			if i := vols.lastingMount(c); i >= 0 {
				lasting = c.VolumeMounts[i].Name
			}
			return fmt.Sprintf("%svolumeMounts: [{name: %s, mountPath: %s}]", copyOut, lasting, path)
		}
		switch {
		case hidden:
			report("the image's own goes with the container", mountAt(image.declared))
		case volume == "":
			report(named.name+" is under no mount, and goes with the container", mountAt(named.path))
		default:
			vols.lost(p, volume, named, podAt)
		}
	}
	if len(all) == 0 && image != nil {
		image.beside(p, vols, c, major, at)
	}
}

// lost reports a volume that holds data and goes with the Pod.
func (v podVolumes) lost(p *Pass, volume string, named namedPath, at *field.Path) {
	i := slices.IndexFunc(v.spec.Volumes, func(vol corev1.Volume) bool { return vol.Name == volume })
	remedy, brief := claimInstead(volume)
	if v.set {
		remedy, brief = ownClaims(volume, "10Gi"), ownClaimsBriefly
	}
	p.Report(field.Invalid(at.Child("volumes").Index(i), volume,
		fmt.Sprintf("must outlive the Pod; by %s its data is at %s, and goes with the Pod", named.name, short(named.path))),
		remedy)
	p.Briefly(brief)
}

// copyOut is copyFirst where no volume holds the data.
const copyOut = "copy the data first (the container alone has it), then "

// inside says whether a path is at or below another.
func inside(p, above string) bool {
	return p == above || strings.HasPrefix(p, strings.TrimSuffix(above, "/")+"/")
}

// mountOf returns the mount of a container in which a path lies, and its volume.
// They are "" where there is none.
func mountOf(c *corev1.Container, p string) (mount, volume string) {
	for i := range c.VolumeMounts {
		if m := path.Clean(c.VolumeMounts[i].MountPath); inside(p, m) && len(m) > len(mount) {
			mount, volume = m, c.VolumeMounts[i].Name
		}
	}
	for i := range c.VolumeDevices {
		if c.VolumeDevices[i].DevicePath == p {
			return p, c.VolumeDevices[i].Name
		}
	}
	return mount, volume
}

// dataVariables are variables of well-known programs that hold the path of their data.
var dataVariables = []string{
	"PGDATA", "POSTGRESQL_DATA_DIR", "ETCD_DATA_DIR", "ZOO_DATA_DIR", "KAFKA_LOG_DIRS", "KAFKA_CFG_LOG_DIRS",
	"RABBITMQ_MNESIA_BASE", "RABBITMQ_MNESIA_DIR", "INFLUXD_ENGINE_PATH", "INFLUXD_BOLT_PATH", "INFLUXDB_DATA_DIR",
	"GF_PATHS_DATA", "JENKINS_HOME", "MEILI_DB_PATH", "NEO4J_server_directories_data", "QDRANT__STORAGE__STORAGE_PATH",
	"path.data",
}

// dataFlags are options of well-known programs for the path of their data.
var dataFlags = []string{
	"storage.tsdb.path", "storage.path", "storageDataPath", "data-dir", "datadir", "data_dir", "data-path", "dbpath",
	"db-path", "path.data", "pgdata",
}

// aPath matches one absolute path, with no pattern or variable in it.
var aPath = pattern.Lazy(`^/[A-Za-z0-9._/-]+$`)

// namesData says whether a container may name a path of its data.
func namesData(c *corev1.Container) bool {
	flag := func(word string) bool {
		_, ok := dataFlag(word)
		return ok
	}
	return runsShell(c) || slices.ContainsFunc(c.Command, flag) || slices.ContainsFunc(c.Args, flag) ||
		slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return slices.Contains(dataVariables, e.Name) })
}

// dataFlag returns an option without its value, if it is one of dataFlags.
func dataFlag(word string) (flag string, ok bool) {
	flag, _, _ = strings.Cut(word, "=")
	name := strings.TrimLeft(flag, "-")
	return flag, name != flag && slices.Contains(dataFlags, name)
}

// namedPaths returns the paths that a container's env, command and args call its
// data, each once. An image may know one without an option.
func namedPaths(c *corev1.Container, image *dataImage, at *field.Path) (all []namedPath) {
	add := func(at *field.Path, name, value string) {
		for one := range strings.SplitSeq(value, ",") {
			one = strings.TrimSpace(one)
			if !aPath().MatchString(one) {
				continue
			}
			one = path.Clean(one)
			if !slices.ContainsFunc(all, func(other namedPath) bool { return other.path == one }) {
				all = append(all, namedPath{at, name, one})
			}
		}
	}
	for i := range c.Env {
		if slices.Contains(dataVariables, c.Env[i].Name) {
			add(at.Child("env").Index(i).Child("value"), c.Env[i].Name, c.Env[i].Value)
		}
	}
	words, certain := program(c)
	for i, word := range words {
		flag, ok := dataFlag(word.text)
		if !ok {
			continue
		}
		_, value, given := strings.Cut(word.text, "=")
		if !given && i+1 < len(words) {
			word, value = words[i+1], words[i+1].text
		}
		add(word.at(at), flag, value)
	}
	if !certain || image == nil || image.arguments == nil || image.moved(c) || len(image.moves)*len(c.EnvFrom) > 0 {
		return all
	}
	for _, word := range image.arguments(words) {
		add(word.at(at), image.usage, word.text)
	}
	return all
}
