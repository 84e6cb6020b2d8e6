/*
 * tests/contract/fault_vfs.h - a VFS over the default one, whose files can be
 * told to fail and count what is asked of them.
 */
#ifndef TESTS_CONTRACT_FAULT_VFS_H
#define TESTS_CONTRACT_FAULT_VFS_H

/* What syncs and writes end with: SQLite's code, 0: they are made. */
extern _Atomic int fault_sync, fault_write;
/* n: only the n-th write from now on ends with fault_write, and then both are 0
 * again. */
extern _Atomic int fault_write_n;
/* How many there were. */
extern _Atomic int syncs, writes;

/* From now on the default one; and no more. */
void fault_install(void);
void fault_remove(void);

#endif
