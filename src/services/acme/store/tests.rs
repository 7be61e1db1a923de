//! The folder of accounts and certificates, on a real file system.

use super::*;

const URL: &str = "https://acme.example:14000/dir";

/// A folder for one test; removed with its contents on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("petasos-acme-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

#[test]
fn what_is_written_is_for_the_hub_alone() {
    let folder = Folder::new("written");
    let store = CertificateStore::open(&folder.path("new/acme"), URL).expect("a store");
    assert_eq!(mode(&folder.path("new/acme")), 0o700);
    assert!(store.read(store.certificate()).expect("readable").is_none());
    for content in [b"one".as_slice(), b"another"] {
        store.write(store.certificate(), content).expect("written");
        assert_eq!(store.read(store.certificate()).expect("readable").as_deref(), Some(content));
    }
    store.write(store.account(), b"{}").expect("written");
    for path in [store.certificate(), store.account()] {
        assert_eq!(mode(path), 0o600);
    }
    let names = fs::read_dir(folder.path("new/acme")).expect("a folder");
    let mut names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["account-acme.example-14000-dir.json", "certificate-acme.example-14000-dir.pem"]);
}

#[test]
fn authorities_do_not_share_files() {
    let folder = Folder::new("authorities");
    let first = CertificateStore::open(&folder.path("acme"), URL).expect("a store");
    let second = CertificateStore::open(&folder.path("acme"), "https://acme.example/dir").expect("a store");
    assert!(first.certificate() != second.certificate() && first.account() != second.account());
    let long =
        CertificateStore::open(&folder.path("acme"), &format!("https://a.example/{}", "../".repeat(500)));
    let long = long.expect("a store");
    long.write(long.account(), b"{}").expect("a name that is not too long");
    assert_eq!(long.account().parent(), Some(folder.path("acme").as_path()));
}

#[test]
fn a_folder_made_for_this_is_closed_and_any_other_is_left_alone() {
    let folder = Folder::new("closed");
    let acme = folder.path("acme");
    CertificateStore::open(&acme, URL)
        .and_then(|store| store.write(store.account(), b"{}"))
        .expect("written");
    fs::set_permissions(&acme, Permissions::from_mode(0o755)).expect("ours");
    CertificateStore::open(&acme, URL).expect("it is closed");
    assert_eq!(mode(&acme), 0o700);
    fs::write(acme.join("notes.txt"), "").expect("written");
    fs::set_permissions(&acme, Permissions::from_mode(0o750)).expect("ours");
    let error = CertificateStore::open(&acme, URL).expect_err("it is shared").to_string();
    assert!(error.contains("mode 750") && error.contains("chmod 700"), "{error}");
    assert_eq!(mode(&acme), 0o750);
}

#[test]
fn a_file_that_is_open_to_others_is_closed_when_it_is_read() {
    let folder = Folder::new("open");
    let store = CertificateStore::open(&folder.path("acme"), URL).expect("a store");
    fs::write(store.certificate(), "key").expect("written");
    fs::set_permissions(store.certificate(), Permissions::from_mode(0o644)).expect("ours");
    assert_eq!(store.read(store.certificate()).expect("readable").as_deref(), Some(b"key".as_slice()));
    assert_eq!(mode(store.certificate()), 0o600);
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = Folder::new("unusable");
    fs::write(folder.path("file"), "").expect("written");
    let error = CertificateStore::open(&folder.path("file/acme"), URL).expect_err("a file").to_string();
    assert!(error.contains("file/acme (ACME_CERT_DIR) cannot be made"), "{error}");
    let store = CertificateStore::open(&folder.path("acme"), URL).expect("a store");
    fs::create_dir(folder.path("acme/next")).expect("made");
    let error = store.check_writable().expect_err("a folder is in the way").to_string();
    assert!(error.contains("acme/next cannot be written"), "{error}");
    fs::create_dir(store.certificate()).expect("made");
    assert!(store.read(store.certificate()).is_err());
    let large = File::create(store.account()).expect("made");
    large.set_len(CERTIFICATE_FILE_BYTES_MAX + 1).expect("a sparse file");
    assert!(store.read(store.account()).is_err());
}
