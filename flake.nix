# For users of Nix: `nix build .#lightship`, `nix develop`. What this builds is built on nixpkgs, so its bits are not those
# of `cargo xtask dist`; nix/offline builds those in the sandbox (docs/reproducibility.md).
{
  description = "Observability for machines that the network cannot always reach";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";
    crane.url = "github:ipetkov/crane";
    rust-overlay = {
      url = "github:oxalica/rust-overlay";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      crane,
      rust-overlay,
    }:
    let
      systems = {
        x86_64-linux = "x86_64-unknown-linux-musl";
        aarch64-linux = "aarch64-unknown-linux-musl";
      };
      forEach =
        make:
        builtins.mapAttrs (
          system: target:
          make (rec {
            inherit target;
            pkgs = import nixpkgs {
              inherit system;
              overlays = [ (import rust-overlay) ];
            };
            channel = (builtins.fromTOML (builtins.readFile ./rust-toolchain.toml)).toolchain.channel;
            toolchain = pkgs.rust-bin.stable.${channel}.default.override {
              extensions = [ "rust-src" ];
              targets = [ target ];
            };
            craneLib = (crane.mkLib pkgs).overrideToolchain toolchain;
            musl = pkgs.pkgsStatic.stdenv.cc;
          })
        ) systems;
      # The page that the hub has inside, as npm's lock file pins it.
      page =
        pkgs:
        pkgs.buildNpmPackage {
          pname = "lightship-page";
          version = "0.1.0";
          src = ./ui;
          npmDeps = pkgs.importNpmLock { npmRoot = ./ui; };
          npmConfigHook = pkgs.importNpmLock.npmConfigHook;
          installPhase = "cp -r dist $out";
        };
      programs =
        {
          pkgs,
          target,
          craneLib,
          musl,
          ...
        }:
        let
          build =
            name: profile: more:
            craneLib.buildPackage (
              {
                pname = name;
                version = "0.1.0";
                src = self;
                strictDeps = true;
                doCheck = false;
                CARGO_PROFILE = profile;
                CARGO_BUILD_TARGET = target;
                CARGO_BUILD_RUSTFLAGS = "-Ctarget-feature=+crt-static";
                cargoExtraArgs = "--locked --package ${name}";
                "CC_${builtins.replaceStrings [ "-" ] [ "_" ] target}" = "${musl}/bin/${musl.targetPrefix}cc";
                SOURCE_DATE_EPOCH = toString (self.lastModified or 1);
              }
              // more
            );
        in
        rec {
          lightship = build "lightship" "device" { };
          lightship-hub = build "lightship-hub" "dist" {
            preBuild = "cp -r ${page pkgs} ui/dist";
          };
          default = lightship;
        };
    in
    {
      packages = forEach programs;

      devShells = forEach (
        { pkgs, toolchain, ... }:
        {
          default = pkgs.mkShell {
            packages = [
              toolchain
              pkgs.cargo-deny
              pkgs.nodejs_22
              pkgs.python3
            ];
          };
        }
      );

      # The program runs, and accepts the configuration that it writes.
      checks = forEach (
        { pkgs, ... }@each:
        {
          starts = pkgs.runCommand "lightship-starts" { } ''
            ${(programs each).lightship}/bin/lightship --version
            ${(programs each).lightship}/bin/lightship init --backend otlp-http --output starter.yaml
            test -s starter.yaml
            touch $out
          '';
        }
      );
    };
}
