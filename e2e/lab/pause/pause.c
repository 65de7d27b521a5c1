/* The first process of every pod: it holds the pod's namespaces open, reaps orphans and waits to be told to stop. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    /* Blocked before the first wait, so that none can fall between two waits. */
    sigprocmask(SIG_BLOCK, &signals, NULL);
    for (;;) {
        int caught;
        if (sigwait(&signals, &caught) != 0) return 1;
        if (caught != SIGCHLD) return 0;
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
    }
}
