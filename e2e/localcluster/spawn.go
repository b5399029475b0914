package localcluster

import (
	"os/exec"
	"runtime"
)

// spawner starts processes, all from one thread of the operating system.
//
// The kernel ends a process with a death signal when the thread that started it
// ends, and the Go runtime may end threads at any time. This thread exists until
// stop is called or the program ends, even by SIGKILL.
type spawner struct {
	jobs chan func()
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func())}
	go func() {
		// Not unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error)
	s.jobs <- func() { result <- cmd.Start() }
	return <-result
}

func (s *spawner) stop() { close(s.jobs) }
