package localcluster

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
)

// sweeper removes directories when the cluster stops, and also when the program is
// killed. It is a shell that reads their names from a pipe, and removes them when
// the other end of the pipe is closed.
type sweeper struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// A component may still write for a moment after the program was killed, so the
// shell tries again if a directory cannot be removed. The last line removes the
// directory of all clusters' host-path volumes if it is empty.
const sweepScript = `
while IFS= read -r dir; do set -- "$@" "$dir"; done
rm -rf -- "$@" 2>/dev/null || { sleep 1; rm -rf -- "$@"; }
rmdir ` + hostPathVolumes + ` 2>/dev/null
for dir; do test ! -e "$dir" || exit 1; done
`

func newSweeper() (*sweeper, error) {
	cmd := exec.Command("sh", "-c", sweepScript)
	cmd.Dir = "/"
	//         The sweeper has its own session, so that a signal to the program does
	// not end it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a shell that cleans up: %w", err)
	}
	return &sweeper{cmd, pipe}, nil
}

// add makes the sweeper remove dir, an absolute path, at the end.
func (s *sweeper) add(dir string) error {
	if _, err := fmt.Fprintln(s.pipe, filepath.Clean(dir)); err != nil {
		return fmt.Errorf("remember to remove %s: %w", dir, err)
	}
	return nil
}

func (s *sweeper) sweep() error {
	s.pipe.Close()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("remove the cluster's directories: %w", err)
	}
	return nil
}
