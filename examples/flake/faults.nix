# What can go wrong with a system, one thing each: nixosConfigurations.<host>-<fault>. A fault is given the configuration of
# the host and answers with the settings that it changes.
let
  unitOf = target: name: text: c: {
    units = c.units // {
      ${name} = text;
    };
    wants = c.wants // {
      ${target} = c.wants.${target} or [ ] ++ [ name ];
    };
  };
  # The target fails with it.
  requiredBy = target: name: text: c: {
    units = c.units // {
      ${name} = text;
    };
    lastBuildCommands = ''
      ${c.lastBuildCommands}
      mkdir -p system-units/${target}.requires
      ln -s ../${name} system-units/${target}.requires/
    '';
  };
  service = unitOf "multi-user.target";
  withoutUnit = name: c: {
    units = removeAttrs c.units [ name ];
    wants = builtins.mapAttrs (_: builtins.filter (unit: unit != name)) c.wants;
  };
  activation = name: text: c: {
    activationScripts = c.activationScripts // {
      ${name} = text;
    };
  };
  panics =
    c:
    withoutUnit "deploy-flake-trial.service" c
    // {
      kernelVersion = "6.12.3";
      lastBuildCommands = "printf '#!/usr/bin/dash\\necho Kernel panic - not syncing\\n' >init";
    };
  # While a system boots there is no systemd to talk to.
  whenRunning = text: "[ ! -d /run/systemd/system ] || {\n${text}\n}";
  mount = what: type: "[Mount]\nWhat=${what}\nWhere=/srv/data\nType=${type}\n";
  fails = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/false\n";
  # Takes a while, as a device does that does not come.
  failsLate = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'sleep 2; exit 1'\n";
  early = "[Unit]\nDefaultDependencies=no\nConflicts=shutdown.target\nBefore=shutdown.target\n";
  # Leaves something in /run by which no system can start this service any more: a reboot takes it away.
  breaks =
    name:
    activation "breaks" (whenRunning ''
      mkdir -p /run/systemd/system/${name}.service.d
      printf '[Service]\nExecStartPre=/usr/bin/false\n' >/run/systemd/system/${name}.service.d/broken.conf
      systemctl daemon-reload
      systemctl stop ${name}.service
    '');
  # Says nothing of an activation script that failed, as the Perl form of switch-to-configuration.
  perlForm = c: {
    lastBuildCommands = ''
      ${c.lastBuildCommands}
      mv bin/switch-to-configuration bin/told
      printf '%s\n' '#!/usr/bin/dash' 'said=$("''${0%/*}/told" "$@" 2>&1)' 'status=$?' \
        'printf "%s\n" "$said" | grep -v "^Failed to run activate script" >&2' 'exit "$status"' >bin/switch-to-configuration
      chmod +x bin/switch-to-configuration
    '';
  };
  # Another toplevel of the same host.
  toplevelOf = change: c: (import ./system.nix (c // { specialisation = { }; } // change c)).config.system.build.toplevel;
  # What holds nothing but links to it.
  joins = change: c: { lastBuildCommands = "rm -rf ./*\nln -s ${toplevelOf change c}/* ."; };
  # What has programs of its own, which run those of it.
  wraps =
    change: c:
    let
      runs = program: ''
        printf '#!/usr/bin/dash\nexec ${toplevelOf change c}/${program} "$@"\n' >${program}
        chmod +x ${program}
      '';
    in
    {
      lastBuildCommands = ''
        ${(joins change c).lastBuildCommands}
        rm activate bin
        mkdir bin
        ${runs "activate"}
        ${runs "bin/switch-to-configuration"}
      '';
    };
  loop = script: pause: service "loop.service" ''
    [Unit]
    StartLimitIntervalSec=0

    [Service]
    ExecStart=/bin/sh -c '${script}'
    Restart=always
    RestartSec=${pause}
  '';
  failing = script: "[Service]\nType=oneshot\nExecStart=/bin/sh ${builtins.toFile "fails" "${script}\nexit 1\n"}\n";
  # Says what it has read as it was started.
  readsSecrets = service "reader.service" ''
    [Service]
    ExecStart=/bin/sh -c 'cat /run/secrets/token /etc/secrets/key >/run/has-read && exec sleep infinity'
  '';
  # Octal, since a shell reads it.
  prints = "printf 'not UTF-8: \\377, of C1: \\302\\233 31m, of C0: \\033[31m\\n'";
  listensIn =
    place: when: c:
    c
    // {
      units = c.units // {
        "echo.socket" = "[Socket]\nListenStream=/run/echo-${place}.sock\n";
        "echo.service" = "[Service]\nExecStart=/bin/sh -c 'while :; do sleep 1; done' ${place}\n";
        "tock.timer" = "[Timer]\nOnCalendar=${when}\n";
        "tock.service" = "[Service]\nType=oneshot\nExecStart=/usr/bin/true\n";
      };
      wants = c.wants // {
        "sockets.target" = c.wants."sockets.target" ++ [ "echo.socket" ];
        "timers.target" = c.wants."timers.target" ++ [ "tock.timer" ];
      };
    };
  # A firewall that a switch loads anew and does not stop: since the unit says so, or since what it reads is all that differs.
  filtersBy =
    form: chain:
    let
      rules = builtins.toFile "filters.nft" ''
        table inet filters
        delete table inet filters
        table inet filters {
          chain ${chain}
        }
      '';
      loads = file: "/usr/sbin/nft -f ${file}";
      unit = file: more: ''
        [Unit]
        DefaultDependencies=no
        Conflicts=shutdown.target
        Before=network.target shutdown.target
        ${more}

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        X-ReloadIfChanged=${if more == "" then "true" else "false"}
        ExecStart=${loads file}
        ExecReload=${loads file}
        ExecStop=/usr/sbin/nft delete table inet filters
      '';
    in
    {
      unit = service "filters.service" (unit rules "");
      triggers =
        c:
        activation "filters" "ln -sfn ${rules} /run/filters.nft" c
        // service "filters.service" (unit "/run/filters.nft" "X-Reload-Triggers=${rules}") c;
    }
    .${form};
  open = "opened { }";
  closed = "closed { type filter hook input priority 0; tcp flags & (syn | ack) == syn drop; }";
  # What need not be up for ever: one that a socket starts for each connection, and one that a timer starts; and one that nobody starts.
  jobsWith =
    more: c:
    c
    // {
      units = c.units // {
        "talk.socket" = "[Socket]\nListenStream=/run/talk.sock\nAccept=yes\n";
        "talk@.service" = "[Service]\nExecStart=/usr/bin/cat\nStandardInput=socket\n# ${more}\n";
        "work.timer" = "[Timer]\nOnCalendar=yearly\n";
        "work.service" = "[Service]\nExecStart=/bin/sh -c 'echo begins >>/run/work; until [ -e /run/work-done ]; do sleep 0.2; done'\n";
        "idle.service" = "[Service]\nExecStart=/bin/sh -c 'until [ -e /run/fail ]; do sleep 0.2; done; exit 1'\n# ${more}\n";
      };
      wants = c.wants // {
        "sockets.target" = c.wants."sockets.target" ++ [ "talk.socket" ];
        "timers.target" = c.wants."timers.target" ++ [ "work.timer" ];
        "multi-user.target" = c.wants."multi-user.target" ++ (if more == "" then [ ] else [ "idle.service" ]);
      };
    };
  slow-unit = service "slow.service" "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/sleep 8\n";
  installer = script: c: { installBootLoader = "/usr/bin/dash ${builtins.toFile "install-boot-loader" (script c)}"; };
in
rec {
  # --- the activation script ---

  # The way in is there, and leads nowhere: nobody becomes root, and nothing is said.
  takes-sudo-away = activation "takesSudoAway" "ln -sfn /usr/bin/false /run/wrappers/bin/sudo";

  hangs = activation "hangs" "sleep infinity";

  hangs-ignoring-term = activation "hangs" "trap '' TERM INT HUP\nwhile :; do sleep 1; done";

  # Leaves a process in a session of its own, which 10 seconds later makes this system the current one.
  hangs-orphan = activation "orphan" ''
    setsid sh -c "sleep 10; ln -sfn $toplevel /run/current-system" </dev/null >/dev/null 2>&1 &
    sleep infinity
  '';

  # Where that is a file system which is frozen.
  hangs-in-kernel = activation "hangs" (whenRunning "touch /var/frozen/file");

  # Fails, and the system is active all the same.
  exit-2 = activation "fails" "false";

  # A unit fails as well, and its code takes the place of the other one; and what comes behind it prints more than a report has room for.
  exit-2-and-4 =
    c:
    activation "noise" ''
      i=0
      while [ "$i" -lt 100 ]; do
        i=$((i + 1))
        echo "chown: warning: '.' should be ':': 'user$i.users'"
      done
    '' (c // activation "fails" "false" c)
    // exit-4 c;

  # The same as the Perl form tells it, with an activation script that ends in the middle: not at all.
  exit-2-and-4-untold =
    c:
    activation "zzEnds" (whenRunning "ln -sfn $toplevel /run/current-system; exit 1") c
    // exit-4 c
    // perlForm c;

  # --- switch-to-configuration itself ---

  # Ends with 1 before anything was changed, although the checks passed.
  exit-1 = _: { lastBuildCommands = "rm init-interface-version"; };

  # Ends with 1 when the system is half active: a restart is asked for of a unit without a file. The request stays behind,
  # and meets the next switch too.
  exit-1-late = activation "request" (whenRunning "echo init.scope >/run/nixos/activation-restart-list");

  # Needs a reboot, so nothing is changed.
  exit-100 = _: { initInterfaceVersion = "systemd 3"; };

  inhibitor = _: { switchInhibitors.dbus-implementation = "broker"; };

  check-hangs = c: { preSwitchChecks = c.preSwitchChecks // { never = "sleep infinity"; }; };

  check-fails = c: { preSwitchChecks = c.preSwitchChecks // { never = "false"; }; };

  # Behind the check of the inhibitors, which fails first; and one that only looks as if it were about them.
  inhibitor-and-check = c: inhibitor c // { preSwitchChecks = c.preSwitchChecks // { zz-never = "test no = yes"; }; };
  inhibitor-new-and-check = c: {
    switchInhibitors = c.switchInhibitors // { another = "1"; };
    preSwitchChecks = c.preSwitchChecks // { never = "test no = yes"; };
  };

  # Once it is active, the checks of every system refuse.
  check-refuses-way-back = activation "refuse" (whenRunning "touch /run/no-switch");

  # A changed system.conf: systemd executes itself again.
  changes-system-conf = _: { systemConf = builtins.toFile "system.conf" "[Manager]\nDefaultTimeoutStopSec=16s\n"; };

  # --- units ---

  exit-4 = service "broken.service" "[Service]\nType=oneshot\nExecStart=/bin/false\n";

  exit-4-untold = c: exit-4 c // perlForm c;

  # One that runs and cannot be reloaded: exit 4, and no unit is failed.
  reload-fails = c: {
    units = c.units // {
      "mirror.service" =
        builtins.replaceStrings [ "ExecReload=" ] [ "ExecReload=/usr/bin/false\nExecReload=" ] c.units."mirror.service"
        + "# changed\n";
    };
  };

  # Too late for the switch to see, and when units have been quiet for a second.
  dies-later = service "dies-later.service" "[Service]\nExecStart=/bin/sh -c 'sleep 1.5; exit 1'\n";

  # The system is well, and its specialisation is not.
  specialisation-fails = c: {
    specialisation.broken = service "broken.service" "[Service]\nType=oneshot\nExecStart=/bin/false\n" c;
  };

  # Units that no other system has, so that a way back must not ask for them.
  new-units = service "onlynew.service" "[Service]\nExecStart=/usr/bin/sleep infinity\n";

  # Its end takes its time, and a rollback waits for it.
  stop-hangs = service "stubborn.service" ''
    [Service]
    ExecStart=/usr/bin/sleep infinity
    ExecStop=/usr/bin/sleep infinity
    TimeoutStopSec=9
  '';

  # Its start never ends, and switch-to-configuration waits for it without a limit. Cut off there, it leaves a list that
  # names a unit which no other system has.
  start-hangs =
    c:
    activation "ask" (whenRunning "echo endless.service >/run/nixos/activation-restart-list") c
    // service "endless.service" ''
      [Service]
      Type=oneshot
      TimeoutStartSec=infinity
      ExecStart=/usr/bin/sleep infinity
    '' c;

  # What a switch starts for each user who is logged in, root aside.
  user-activation-fails = _: { userActivation = "/usr/bin/false"; };

  user-activation-hangs = _: { userActivation = "/usr/bin/sleep infinity"; };

  # --- the way in ---

  no-sshd = withoutUnit "sshd.service";

  # The way in is a unit of another name.
  other-sshd = c: service "door.service" c.units."sshd.service" (c // withoutUnit "sshd.service" c);

  sshd-broken-config = c: { sshdConfig = c.sshdConfig + "NoSuchOption yes\n"; };

  # A login works until sshd is started again: it is wanted by no target that the host boots into.
  sshd-not-wanted = c: {
    wants =
      (withoutUnit "sshd.service" c).wants
      // {
        "rescue.target" = [ "sshd.service" ];
      };
  };

  # Nobody who knows the host would connect to it.
  other-host-key =
    c:
    activation "key" "[ -e /run/other-key ] || /usr/bin/ssh-keygen -q -t ed25519 -N '' -f /run/other-key" c
    // {
      sshdConfig = builtins.replaceStrings [ "/etc/ssh/ssh_host_ed25519_key" ] [ "/run/other-key" ] c.sshdConfig;
    };

  no-authorized-keys = c: { sshdConfig = c.sshdConfig + "AuthorizedKeysFile /etc/ssh/keys/%u\n"; };

  # Lets no new connection in; those that there are go on.
  firewall = service "firewall.service" ''
    [Unit]
    Description=Firewall
    DefaultDependencies=no
    Before=network.target

    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStart=/usr/sbin/nft add table inet lockout
    ExecStart=/usr/sbin/nft add chain inet lockout input { type filter hook input priority 0; }
    ExecStart=/usr/sbin/nft add rule inet lockout input tcp flags & (syn | ack) == syn drop
    ExecStop=/usr/sbin/nft delete table inet lockout
  '';

  # --- what a rollback leans on ---

  # Claims success and runs nothing.
  broken-timeout = _: { tools.timeout = "#!/bin/sh\nexit 0\n"; };

  # Every tool of the system path is there and none works.
  broken-path = _: {
    lastBuildCommands = ''
      printf '#!/bin/sh\nexit 127\n' >sw/broken
      chmod +x sw/broken
      for tool in sw/bin/*; do ln -sfn ../broken "$tool"; done
    '';
  };

  broken-dbus =
    c:
    activation "dbus" (whenRunning "systemctl stop dbus.socket dbus.service") c
    // {
      lastBuildCommands = "ln -s /dev/null system-units/dbus.service; ln -s /dev/null system-units/dbus.socket";
    };

  broken-logind =
    c:
    activation "logind" (whenRunning "systemctl stop systemd-logind.service") c
    // {
      lastBuildCommands = "ln -s /dev/null system-units/systemd-logind.service";
    };

  # --- packages ---

  new-package = c: { packages = c.packages // { cowsay = "3.8.4"; }; };

  # --- booting ---

  # Runs at once only after a reboot.
  new-kernel = _: { kernelVersion = "6.12.2"; };

  new-kernel-params = c: { kernelParams = c.kernelParams ++ [ "panic=60" ]; };

  # A kernel that does not come up: nothing runs any more until somebody switches the power off and on.
  inherit panics;

  # A first stage that never comes to its end, where there is one.
  initrd-hangs = c: {
    kernelVersion = "6.12.4";
    kernelParams = c.kernelParams ++ [
      "loglevel=7"
      "lab.hang"
    ];
  };

  # Comes up, and nobody can reach it.
  boots-without-network = service "no-network.service" "[Service]\nExecStart=/bin/sh -c 'ip link set eth0 down; sleep infinity'\n";

  # No EFI variables, so no entry can be booted once.
  no-one-shot = _: { tools.bootctl = "#!/usr/bin/dash\necho 'Not booted with UEFI.' >&2\nexit 1\n"; };

  # Another boot loader.
  grub = _: { installBootLoader = "${./install-boot-loader-grub}"; };

  grub-panics = c: { installBootLoader = "${./install-boot-loader-grub}"; } // panics c;

  boot-hangs = _: { installBootLoader = "/usr/bin/dash ${builtins.toFile "hangs" "sleep infinity"}"; };

  boot-fails = _: { installBootLoader = "/bin/false"; };

  # Writes the entries and the default, and then fails.
  boot-fails-after-write = c: {
    installBootLoader = "/usr/bin/dash ${builtins.toFile "install-boot-loader" "${c.installBootLoader} \"$1\"; exit 1"}";
  };

  # --- what should not be deployed ---

  wrong-hostname = _: { hostName = "somebody-else"; };

  other-architecture = _: { lastBuildCommands = "printf aarch64-linux >system"; };

  not-a-system = _: { lastBuildCommands = "rm nixos-version bin/switch-to-configuration"; };

  # preroll-safety's check before an activation.
  unsafe = _: {
    lastBuildCommands = ''
      printf '#!/bin/sh\necho "not safe: the database is not backed up"\nexit 1\n' >pre-activate-safety-checks
      chmod +x pre-activate-safety-checks
    '';
  };
  safe-checks = _: {
    lastBuildCommands = ''
      printf '#!/bin/sh\nexit 0\n' >pre-activate-safety-checks
      chmod +x pre-activate-safety-checks
    '';
  };

  # --- building ---

  # 16 seconds, a line for each.
  slow-build = _: {
    lastBuildCommands = ''for step in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do echo "step $step of 16"; sleep 1; done'';
  };

  # Twice 12 MB, and then it fails.
  build-prints-much = _: {
    lastBuildCommands = ''
      for step in 1 2 3; do echo "quiet step $step"; sleep 1; done
      for burst in 1 2; do
        yes 'much to say, ${toString (builtins.genList (number: 1000 + number) 40)}' | head -n 56000
        echo "burst $burst is over"
        sleep 9
      done
      echo 'the last word'
      exit 1
    '';
  };

  build-fails = _: { lastBuildCommands = "echo 'hello.c:1:1: error: no such thing' >&2; exit 1"; };

  does-not-evaluate = _: throw "the option `services.hello.colour' does not exist";

  # --- wrapped systems: what one makes live is the system inside ---

  joined = joins (_: { });
  joined-firewall = joins firewall;
  joined-slow = joins slow-unit;
  wrapped = wraps (_: { });
  wrapped-firewall = wraps firewall;
  wrapped-slow = wraps slow-unit;

  # --- what has to be gone after a rollback ---

  firewall-iptables = service "firewall.service" ''
    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStart=/usr/sbin/iptables -A INPUT -p tcp --syn -j DROP
    ExecStop=/usr/sbin/iptables -D INPUT -p tcp --syn -j DROP
  '';

  # A firewall by another name.
  gate = c: service "gate.service" (firewall c).units."firewall.service" c;

  # A firewall that both systems have; with the new one's rules nobody comes in.
  filters = filtersBy "unit" open;

  filters-closed = filtersBy "unit" closed;

  filters-triggers = filtersBy "triggers" open;

  filters-triggers-closed = filtersBy "triggers" closed;

  filters-closed-mount-fails = c: filters-closed (c // mount-fails c);

  filters-triggers-closed-mount-fails = c: filters-triggers-closed (c // mount-fails c);

  # Units that end by themselves; in the second one of them is wanted, and fails when it is told to.
  jobs = jobsWith "";

  jobs-fail = jobsWith "another";

  # Listens in one place, for a service that is started by the first who comes, and has a timer; and the same in another
  # one, behind a firewall.
  listens = listensIn "here" "daily";

  listens-elsewhere = c: firewall (listensIn "elsewhere" "weekly" c);

  # No fault: a service that reads secrets, without and with what puts those below /run there again at the boot.
  reads-secrets = readsSecrets;
  secrets =
    c:
    readsSecrets (
      c
      // unitOf "sysinit.target" "deploy-flake-secrets.service" (builtins.replaceStrings [ "@script@" ] [ "${./secrets.sh}" ] (builtins.readFile ./deploy-flake-secrets.service)) c
    );

  # A link into the store in the place of one of them, as environment.etc makes it; and a directory of them that is somebody else's then.
  replaces-secret =
    c:
    readsSecrets c
    // activation "replaces" (whenRunning "ln -sfn ${builtins.toFile "key" "in the store"} /etc/secrets/key") c;
  takes-secrets = c: readsSecrets c // activation "takes" (whenRunning "chown nobody /etc/secrets") c;

  # --- what fails later than a switch can see, or takes its time ---

  slow = slow-unit;

  # In this and the next one when it is told to.
  fails-late = service "late.service" "[Service]\nExecStart=/bin/sh -c 'until [ -e /run/fail ]; do sleep 0.2; done; exit 1'\n";

  loops-late = loop "until [ -e /run/fail ]; do sleep 0.2; done; sleep 0.5; exit 1" "0.1";

  # Up, and failed, and up again: well at most moments at which somebody looks.
  loops = loop "sleep 1; exit 1" "0.1";

  # No fault: it ends once, and is well from then on.
  ends-once = loop "[ -e /run/ended-once ] && exec sleep infinity; touch /run/ended-once; sleep 0.5" "0.1";

  # It waits to be started again at most moments.
  loops-slowly = loop "sleep 1; exit 1" "60";

  # So it does when a switch looks, which counts it.
  loops-at-once = loop "exit 1" "60";

  # --- what it prints ---

  prints-much = activation "prints" (whenRunning "yes 'much to say' | head -c 50000000");

  prints-for-ever = activation "prints" (whenRunning "yes 'without an end'");

  # One line, and then it fails.
  unit-prints-much = service "loud.service" (failing "head -c 8000000 /dev/zero | tr '\\0' x");

  unit-prints-for-ever = service "loud.service" "[Service]\nExecStart=/usr/bin/yes 'without an end'\n";

  # What is no UTF-8, and what a terminal obeys.
  prints-bytes =
    c:
    # Not the name of those that print too much: for half a minute the journal takes nothing more of such a unit.
    service "strange.service" (failing prints) c
    // activation "prints" (whenRunning prints) c;

  # Where all deployments have their state.
  fills-run = service "filler.service" "[Service]\nExecStart=/bin/sh -c 'cat /dev/zero >/run/filler; exec sleep infinity'\n";

  # --- directories that are mounted when somebody looks into them: nothing is there ---

  automount = c: {
    units = c.units // {
      "srv-data.mount" = mount "none" "nosuchfs";
      "srv-data.automount" = "[Automount]\nWhere=/srv/data\n";
    };
  };

  automount-fstab = _: {
    lastBuildCommands = "echo 'none /srv/data nosuchfs noauto,x-systemd.automount 0 0' >etc/fstab";
  };

  # --- emergency mode ---

  # What NixOS makes of a file system without nofail: with it local-fs.target fails, and that ends in emergency mode.
  mount-fails = requiredBy "local-fs.target" "srv-data.mount" (mount "none" "nosuchfs");

  mount-fails-device = requiredBy "local-fs.target" "srv-data.mount" (mount "/dev/disk/by-label/gone" "ext4");

  mount-fails-late =
    c:
    requiredBy "srv-data.mount" "systemd-cryptsetup@data.service" (early + failsLate) (
      c
      // requiredBy "local-fs.target" "srv-data.mount" (
        "[Unit]\nAfter=systemd-cryptsetup@data.service\n" + mount "/dev/mapper/data" "ext4"
      ) c
    );

  # With nofail.
  mount-fails-unneeded = unitOf "local-fs.target" "srv-data.mount" (mount "none" "nosuchfs");

  # One that is there is mounted again, with options that do not exist.
  mount-changes = c: {
    units = c.units // {
      "srv-scratch.mount" = builtins.replaceStrings [ "mode=0755" ] [ "mode=0755,nosuchoption" ] c.units."srv-scratch.mount";
    };
  };

  swap-fails = requiredBy "swap.target" "mkswap-var-swap.service" (early + fails);

  sysinit-fails = requiredBy "sysinit.target" "early.service" (early + fails);

  network-online-hangs =
    c:
    service "online.service" "[Unit]\nWants=network-online.target\nAfter=network-online.target\n[Service]\nExecStart=/usr/bin/sleep infinity\n" (
      c
      // unitOf "network-online.target" "wait-online.service" ''
        [Unit]
        Before=network-online.target
        [Service]
        Type=oneshot
        TimeoutStartSec=infinity
        ExecStart=/usr/bin/sleep infinity
      '' c
    );

  # No way back that systemd could go.
  breaks-sshd = breaks "sshd";

  breaks-hello = breaks "hello";

  breaks-sshd-mount-fails =
    c: breaks "sshd" c // requiredBy "local-fs.target" "srv-data.mount" (mount "none" "nosuchfs") c;

  # --- boot loaders that do not obey ---

  extlinux = _: { installBootLoader = "${./install-boot-loader-extlinux}"; };

  # Says that it is done, and has done nothing.
  boot-does-nothing = _: { installBootLoader = "/bin/true"; };

  # Says that it is done, and a file of what it starts is not there.
  boot-lacks-initrd = installer (c: "${c.installBootLoader} \"$1\"; rm /boot/EFI/nixos/*initrd*");

  # Its default is a pattern that several entries match.
  boot-pattern = installer (
    c: "${c.installBootLoader} \"$1\"; sed -i 's/^default .*/default nixos-*/' /boot/loader/loader.conf"
  );

  # Ends half way, before the default is another one.
  boot-fails-half-way = installer (
    _: "printf 'title half\\n' >/boot/loader/entries/nixos-generation-999.conf; exit 1"
  );

  # The same for GRUB and extlinux, whose default is another one as soon as their file is written.
  grub-fails-after-write = installer (_: "${./install-boot-loader-grub} \"$1\"; exit 1");

  extlinux-fails-after-write = installer (_: "${./install-boot-loader-extlinux} \"$1\"; exit 1");
}
