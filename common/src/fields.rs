//! The kernel fields that the programs read: the one table of them.
//!
//! rustc emits no CO-RE relocations, so the agent looks each field up in the running kernel's BTF and passes the
//! offsets as one `.rodata` global. `.rodata` is frozen before the programs load: the verifier knows each offset as a
//! constant and accepts typed pointer + offset as a direct load.

/// Offset of a field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// How much depends on a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it no program is loaded.
    Required,
    /// Without it one fact is missing from records; the agent says which.
    Optional(&'static str),
}

/// One field, as it is looked up in BTF.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the member of [`Offsets`], for messages.
    pub name: &'static str,
    /// Type (structure) that holds it.
    pub structure: &'static str,
    /// Names it goes by, newest first, each a dotted path that may pass through named and anonymous members.
    pub paths: &'static [&'static str],
    /// Size in bytes that the programs read. A member of another size is an error, as is an ambiguous one.
    pub size: u32,
    /// What its absence means.
    pub need: Need,
}

macro_rules! fields {
    ($($name:ident: $structure:literal, [$($path:literal),+], $size:literal, $need:expr;)+) => {
        /// Byte offset of each field in its structure, [`ABSENT`] where the kernel has none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "user", derive(zerocopy::IntoBytes, zerocopy::Immutable))]
        #[repr(C)]
        pub struct Offsets {
            $(#[doc = concat!("`", $structure, "` ", $("`", $path, "` "),+)] pub $name: u32,)+
        }

        impl Offsets {
            /// No field known.
            pub const NONE: Self = Self { $($name: ABSENT,)+ };

            /// Offsets in the order of [`FIELDS`].
            #[must_use]
            pub const fn from_array(offsets: [u32; FIELDS.len()]) -> Self {
                let mut next = 0;
                $(let $name = offsets[next]; next += 1;)+
                let _ = next;
                Self { $($name,)+ }
            }
        }

        /// Every field, in the order of [`Offsets`].
        pub const FIELDS: &[Field] = &[$(Field {
            name: stringify!($name), structure: $structure, paths: &[$($path),+], size: $size, need: $need,
        },)+];
    };
}

use Need::{Optional, Required};

fields! {
    file_inode: "file", ["f_inode"], 8, Required;
    file_dentry: "file", ["f_path.dentry"], 8, Required;
    file_mount: "file", ["f_path.mnt"], 8, Required;
    file_flags: "file", ["f_flags"], 4, Required;
    file_mode: "file", ["f_mode"], 4, Required;
    file_private: "file", ["private_data"], 8, Required;

    inode_number: "inode", ["i_ino"], 8, Required;
    inode_super: "inode", ["i_sb"], 8, Required;
    inode_generation: "inode", ["i_generation"], 4, Required;
    inode_mode: "inode", ["i_mode"], 2, Required;
    inode_uid: "inode", ["i_uid.val"], 4, Required;
    inode_links: "inode", ["i_nlink"], 4, Required;
    inode_rdev: "inode", ["i_rdev"], 4, Required;
    inode_private: "inode", ["i_private"], 8, Required;
    inode_size: "inode", ["i_size"], 8, Required;
    super_device: "super_block", ["s_dev"], 4, Required;
    super_magic: "super_block", ["s_magic"], 8, Required;

    dentry_parent: "dentry", ["d_parent"], 8, Required;
    dentry_name: "dentry", ["d_name.name"], 8, Required;
    dentry_name_len: "dentry", ["d_name.len"], 4, Required;
    dentry_inode: "dentry", ["d_inode"], 8, Required;
    // 6.14 made the inline name a union of bytes and words.
    dentry_inline_name: "dentry", ["d_shortname.string", "d_iname"], 0, Required;

    mount_of_vfsmount: "mount", ["mnt"], 0, Required;
    mount_parent: "mount", ["mnt_parent"], 8, Required;
    mount_point: "mount", ["mnt_mountpoint"], 8, Required;
    vfsmount_root: "vfsmount", ["mnt_root"], 8, Required;

    task_leader: "task_struct", ["group_leader"], 8, Required;
    task_start: "task_struct", ["start_boottime", "real_start_time"], 8, Required;
    task_tgid: "task_struct", ["tgid"], 4, Required;
    task_tid: "task_struct", ["pid"], 4, Required;
    task_parent: "task_struct", ["real_parent"], 8, Required;
    task_cred: "task_struct", ["cred"], 8, Required;
    task_mm: "task_struct", ["mm"], 8, Required;
    task_fs: "task_struct", ["fs"], 8, Required;
    task_files: "task_struct", ["files"], 8, Required;
    task_signal: "task_struct", ["signal"], 8, Required;
    task_nsproxy: "task_struct", ["nsproxy"], 8, Required;
    task_pid: "task_struct", ["thread_pid"], 8, Required;
    task_flags: "task_struct", ["flags"], 4, Required;
    task_stack: "task_struct", ["stack"], 8, Required;
    // The names of the two counters are as old as the field; the size changed in 5.7.
    task_exec_id: "task_struct", ["self_exec_id"], 8, Required;
    task_comm: "task_struct", ["comm"], 16, Required;
    task_pid_links: "task_struct", ["pid_links"], 0, Required;
    task_login_uid: "task_struct", ["loginuid.val"], 4, Optional("login user of the audit subsystem");
    task_audit_session: "task_struct", ["sessionid"], 4, Optional("session of the audit subsystem");

    cred_uid: "cred", ["uid.val"], 4, Required;
    cred_euid: "cred", ["euid.val"], 4, Required;
    cred_gid: "cred", ["gid.val"], 4, Required;

    mm_owner: "mm_struct", ["owner"], 8, Optional("the process that an io_uring worker before Linux 5.12 works for");
    mm_executable: "mm_struct", ["exe_file"], 8, Required;
    mm_arg_start: "mm_struct", ["arg_start"], 8, Required;
    mm_arg_end: "mm_struct", ["arg_end"], 8, Required;
    mm_env_start: "mm_struct", ["env_start"], 8, Required;
    mm_env_end: "mm_struct", ["env_end"], 8, Required;

    fs_cwd_dentry: "fs_struct", ["pwd.dentry"], 8, Required;
    fs_cwd_mount: "fs_struct", ["pwd.mnt"], 8, Required;
    fs_root_dentry: "fs_struct", ["root.dentry"], 8, Required;
    fs_root_mount: "fs_struct", ["root.mnt"], 8, Required;

    signal_tty: "signal_struct", ["tty"], 8, Required;
    signal_pids: "signal_struct", ["pids"], 0, Required;
    signal_live: "signal_struct", ["live.counter"], 4, Required;
    signal_exit_code: "signal_struct", ["group_exit_code"], 4, Required;
    tty_driver: "tty_struct", ["driver"], 8, Required;
    tty_index: "tty_struct", ["index"], 4, Required;
    tty_driver_major: "tty_driver", ["major"], 4, Required;
    tty_driver_minor: "tty_driver", ["minor_start"], 4, Required;

    pid_numbers: "pid", ["numbers"], 0, Required;
    pid_level: "pid", ["level"], 4, Required;
    pid_tasks: "pid", ["tasks"], 0, Required;
    upid_number: "upid", ["nr"], 4, Required;
    upid_namespace: "upid", ["ns"], 8, Required;
    pid_namespace_inum: "pid_namespace", ["ns.inum"], 4, Required;
    nsproxy_mount: "nsproxy", ["mnt_ns"], 8, Required;
    mount_namespace_inum: "mnt_namespace", ["ns.inum"], 4, Required;

    files_table: "files_struct", ["fdt"], 8, Required;
    table_array: "fdtable", ["fd"], 8, Required;
    table_size: "fdtable", ["max_fds"], 4, Required;

    path_dentry: "path", ["dentry"], 8, Required;
    path_mount: "path", ["mnt"], 8, Required;

    socket_sock: "socket", ["sk"], 8, Required;
    sock_family: "sock", ["__sk_common.skc_family"], 2, Required;
    sock_address: "sock", ["__sk_common.skc_daddr"], 4, Required;
    sock_port: "sock", ["__sk_common.skc_dport"], 2, Required;
    sock_address_v6: "sock", ["__sk_common.skc_v6_daddr"], 16, Optional("connections to metadata addresses of IPv6, on the tracepoint tier");
    message_name: "msghdr", ["msg_name"], 8, Required;
    unix_dentry: "unix_sock", ["path.dentry"], 8, Required;
    unix_mount: "unix_sock", ["path.mnt"], 8, Required;
    unix_peer: "unix_sock", ["peer"], 8, Required;

    iattr_valid: "iattr", ["ia_valid"], 4, Required;
    iattr_mode: "iattr", ["ia_mode"], 2, Required;
    iattr_uid: "iattr", ["ia_uid.val"], 4, Required;
    iattr_gid: "iattr", ["ia_gid.val"], 4, Required;
    iattr_size: "iattr", ["ia_size"], 8, Required;

    ring_request_file: "io_kiocb", ["file"], 8, Optional("files that io_uring opens and reads, on the tracepoint tier");
    ring_request_opcode: "io_kiocb", ["opcode"], 1, Optional("files that io_uring opens and reads, on the tracepoint tier");
    ring_entry_result: "io_uring_cqe", ["res"], 4, Optional("files that io_uring opens and reads, on the tracepoint tier");

    kiocb_file: "kiocb", ["ki_filp"], 8, Required;

    binprm_filename: "linux_binprm", ["filename"], 8, Required;
    binprm_interpreter: "linux_binprm", ["interp"], 8, Required;

    proc_inode_pid: "proc_inode", ["pid"], 8, Required;
    proc_inode_inode: "proc_inode", ["vfs_inode"], 0, Required;
}
