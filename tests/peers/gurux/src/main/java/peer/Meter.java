package peer;

import gurux.dlms.GXServerReply;
import gurux.dlms.enums.AccessMode;
import gurux.dlms.enums.Authentication;
import gurux.dlms.enums.Conformance;
import gurux.dlms.enums.DataType;
import gurux.dlms.enums.SourceDiagnostic;
import gurux.dlms.enums.Unit;
import gurux.dlms.objects.GXDLMSAssociationLogicalName;
import gurux.dlms.objects.GXDLMSAssociationShortName;
import gurux.dlms.objects.GXDLMSClock;
import gurux.dlms.objects.GXDLMSData;
import gurux.dlms.objects.GXDLMSObject;
import gurux.dlms.objects.GXDLMSRegister;
import gurux.dlms.objects.GXDLMSSecuritySetup;
import gurux.dlms.objects.enums.SecuritySuite;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.OutputStream;
import java.math.BigInteger;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.security.AlgorithmParameters;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PublicKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.util.HexFormat;

/**
 * A meter of gurux.dlms on TCP with the wrapper, a new one for each connection, though its keys are kept; it ends with its input.
 *
 * <p>Arguments: the client's public keys for signatures and for key agreement, x || y of P-256 as hex; then one port's kind each: ln
 * or sn, then the security suite, such as ln1, and s for signatures instead of secrets, or k for a security setup by which keys can be
 * changed. It prints the meter's two public keys and the ports, in one line. Keys are EK 00.. and AK D0.., 16 octets or, in suite 2,
 * 32; the master key is 40... The password, and the secret of high level security, is "Passw0rd".
 */
public final class Meter {
  private static final byte[] TITLE = "MTR\0\0\0\0\2".getBytes();
  private static final byte[] PASSWORD = "Passw0rd".getBytes();

  private Meter() {}

  public static void main(String[] args) throws Exception {
    FullSignatures.install();
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp256r1"));
    StringBuilder ready = new StringBuilder();
    KeyPair[] keys = new KeyPair[2];
    for (int i = 0; i < keys.length; i++) {
      KeyPair pair = generator.generateKeyPair();
      keys[i] = new KeyPair(point(HexFormat.of().parseHex(args[i])), pair.getPrivate());
      ready.append(HexFormat.of().formatHex(octets((ECPublicKey) pair.getPublic()))).append(' ');
    }
    for (int i = keys.length; i < args.length; i++) {
      String kind = args[i];
      ServerSocket listener = Base.port();
      ready.append(listener.getLocalPort()).append(' ');
      Base.beside(() -> listen(listener, kind, keys));
    }
    System.out.println(ready);
    Base.untilInputEnds();
  }

  private static void listen(ServerSocket listener, String kind, KeyPair[] keys) {
    int size = kind.charAt(2) == '2' ? 32 : 16;
    Held held = new Held(Server.key(0x00, size), Server.key(0xD0, size), Server.key(0x40, size));
    while (true) {
      try (Socket line = listener.accept()) {
        serve(line, new Server(kind, keys, held));
      } catch (EOFException | SocketException ended) {
        // the client has left
      } catch (Exception error) {
        error.printStackTrace();
      }
    }
  }

  private static void serve(Socket line, Server meter) throws Exception {
    DataInputStream in = new DataInputStream(line.getInputStream());
    OutputStream out = line.getOutputStream();
    while (true) {
      GXServerReply reply = new GXServerReply(Base.frame(in));
      do { // the blocks of a general block transfer, one after another
        meter.handleRequest(reply);
        meter.keep();
        if (reply.getReply() != null) {
          out.write(reply.getReply());
          reply.setData(null);
        }
      } while (reply.isStreaming());
    }
  }

  private static PublicKey point(byte[] octets) throws Exception {
    AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
    parameters.init(new ECGenParameterSpec("secp256r1"));
    ECParameterSpec curve = parameters.getParameterSpec(ECParameterSpec.class);
    String hex = HexFormat.of().formatHex(octets);
    ECPoint at = new ECPoint(new BigInteger(hex.substring(0, 64), 16), new BigInteger(hex.substring(64), 16));
    return KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(at, curve));
  }

  private static byte[] octets(ECPublicKey key) {
    byte[] out = new byte[64];
    put(key.getW().getAffineX(), out, 0);
    put(key.getW().getAffineY(), out, 32);
    return out;
  }

  private static void put(BigInteger number, byte[] out, int at) {
    byte[] octets = number.toByteArray();
    int size = Math.min(32, octets.length);
    System.arraycopy(octets, octets.length - size, out, at + 32 - size, size);
  }

  /** What a meter keeps from one connection to the next. */
  private static final class Held {
    byte[] ek;
    byte[] ak;
    byte[] master;
    long counter = 1;

    Held(byte[] ek, byte[] ak, byte[] master) {
      this.ek = ek;
      this.ak = ak;
      this.master = master;
    }
  }

  /** One meter, for one connection. */
  private static final class Server extends Base {
    private final Held held;

    Server(String kind, KeyPair[] keys, Held held) {
      super(kind.startsWith("ln"), AccessMode.READ);
      this.held = held;
      int suite = kind.charAt(2) - '0';
      getCiphering().setSystemTitle(TITLE);
      getCiphering().setSecuritySuite(SecuritySuite.forValue(suite));
      getCiphering().setBlockCipherKey(held.ek);
      getCiphering().setAuthenticationKey(held.ak);
      getCiphering().setSigningKeyPair(keys[0]);
      getCiphering().setKeyAgreementKeyPair(keys[1]);
      setMaxReceivePDUSize(1024);
      getConformance().add(Conformance.GENERAL_BLOCK_TRANSFER);
      if (kind.startsWith("ln")) {
        GXDLMSAssociationLogicalName association = new GXDLMSAssociationLogicalName();
        // What it signs begins with the secret, which the standard has no place for in ECDSA.
        association.setSecret(kind.endsWith("s") ? new byte[0] : PASSWORD);
        if (kind.endsWith("k")) {
          GXDLMSSecuritySetup setup = new GXDLMSSecuritySetup();
          setup.setServerSystemTitle(TITLE);
          association.setSecuritySetupReference(setup.getLogicalName());
          getSettings().setKek(held.master);
          add(setup);
        }
        getItems().add(association);
      } else {
        GXDLMSAssociationShortName association = new GXDLMSAssociationShortName();
        association.setSecret(PASSWORD);
        getItems().add(association);
      }
      add(new GXDLMSClock());
      data("0.0.96.1.0.255", "GRX00000042".getBytes(), DataType.OCTET_STRING);
      data("0.0.42.0.0.255", "GRX0000000000042".getBytes(), DataType.OCTET_STRING);
      data("0.0.43.1.0.255", 1204L, DataType.UINT32);
      data("0.0.96.1.9.255", key(1, 3000), DataType.OCTET_STRING);
      GXDLMSRegister energy = new GXDLMSRegister("1.0.1.8.0.255");
      energy.setScaler(0.1);
      energy.setUnit(Unit.ACTIVE_ENERGY);
      energy.setValue(123456789L);
      energy.setDataType(2, DataType.UINT32);
      add(energy);
      initialize();
    }

    private void data(String name, Object value, DataType type) {
      GXDLMSData item = new GXDLMSData(name);
      item.setValue(value);
      item.setDataType(2, type);
      add(item);
    }

    private void add(GXDLMSObject item) {
      getItems().add(item);
    }

    /** What a change of keys has left; with a new encryption key invocations count from the first. */
    void keep() {
      boolean changed = !java.util.Arrays.equals(held.ek, getCiphering().getBlockCipherKey());
      held.ek = getCiphering().getBlockCipherKey();
      held.ak = getCiphering().getAuthenticationKey();
      held.master = getSettings().getKek() == null ? held.master : getSettings().getKek();
      held.counter = changed ? 1 : Math.max(held.counter, getCiphering().getInvocationCounter()); // releasing resets it
    }

    private static byte[] key(int first, int size) {
      byte[] out = new byte[size];
      for (int i = 0; i < size; i++) {
        out[i] = (byte) (first + i);
      }
      return out;
    }

    @Override
    protected SourceDiagnostic onValidateAuthentication(Authentication authentication, byte[] password) {
      getCiphering().setInvocationCounter(held.counter); // an association request has just reset it
      boolean wrong = authentication == Authentication.LOW && !java.util.Arrays.equals(PASSWORD, password);
      return wrong ? SourceDiagnostic.AUTHENTICATION_FAILURE : SourceDiagnostic.NONE;
    }
  }
}
