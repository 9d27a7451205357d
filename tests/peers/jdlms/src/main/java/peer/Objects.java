package peer;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.openmuc.jdlms.AttributeAccessMode;
import org.openmuc.jdlms.AuthenticationMechanism;
import org.openmuc.jdlms.CosemAttribute;
import org.openmuc.jdlms.CosemClass;
import org.openmuc.jdlms.CosemInterfaceObject;
import org.openmuc.jdlms.CosemMethod;
import org.openmuc.jdlms.DlmsServer;
import org.openmuc.jdlms.IllegalMethodAccessException;
import org.openmuc.jdlms.LogicalDevice;
import org.openmuc.jdlms.MethodResultCode;
import org.openmuc.jdlms.SecuritySuite;
import org.openmuc.jdlms.SecuritySuite.EncryptionMechanism;
import org.openmuc.jdlms.SecuritySuite.SecurityPolicy;
import org.openmuc.jdlms.datatypes.BitString;
import org.openmuc.jdlms.datatypes.DataObject;
import org.openmuc.jdlms.datatypes.DataObject.Type;
import org.openmuc.jdlms.sessionlayer.server.ServerSessionLayerFactories;

/**
 * A meter that can be written to and ordered about, on the TCP port given as the only argument, with the wrapper; it prints "ready"
 * when it listens and ends with its input.
 *
 * <p>Client 1 associates with the password "Passw0rd", client 2 with HLS-GMAC, authenticated and encrypted, keys EK 00..0F and
 * AK D0..DF; the master key is 40..4F. It has jDLMS' own object list and security setup, and: a clock at 2022-07-12T16:54:30+02:00,
 * an alarm register (0.0.97.98.0) with bits 0 and 13, a breaker (0.0.96.3.10) in mode 4, image transfer (0.0.44.0.0) with blocks of
 * 100 octets, which verifies by SHA-256 and says so once with temporary-failure, and an M-Bus client on channel 1.
 */
public final class Objects {
  private static final int BLOCK = 100;

  private Objects() {}

  public static void main(String[] args) throws Exception {
    LogicalDevice device = new LogicalDevice(1, "HES0000000000001", "HES", 1).setMasterKey(key(0x40));
    device.addRestriction(
        1,
        SecuritySuite.builder()
            .setAuthenticationMechanism(AuthenticationMechanism.LOW)
            .setEncryptionMechanism(EncryptionMechanism.NONE)
            .setSecurityPolicy(SecurityPolicy.NOTHING)
            .setPassword("Passw0rd".getBytes())
            .build());
    device.addRestriction(
        2,
        SecuritySuite.builder()
            .setAuthenticationMechanism(AuthenticationMechanism.HLS5_GMAC)
            .setEncryptionMechanism(EncryptionMechanism.AES_GCM_128)
            .setSecurityPolicy(SecurityPolicy.AUTHENTICATED_AND_ENCRYPTED)
            .setGlobalUnicastEncryptionKey(key(0x00))
            .setAuthenticationKey(key(0xD0))
            .build());
    device.registerCosemObject(new Clock(), new Alarms(), new Relay(), new Image(), new MBus());
    DlmsServer server =
        DlmsServer.tcpServerBuilder(Integer.parseInt(args[0]))
            .setSessionLayerFactory(ServerSessionLayerFactories.newWrapperSessionLayerFactory())
            .registerLogicalDevice(device)
            .build();
    System.out.println("ready");
    while (System.in.read() >= 0) {
      // until the test closes its end
    }
    server.close();
    System.exit(0);
  }

  private static byte[] key(int first) {
    byte[] key = new byte[16];
    for (int i = 0; i < key.length; i++) {
      key[i] = (byte) (first + i);
    }
    return key;
  }

  private static byte[] hex(String text) {
    byte[] octets = new byte[text.length() / 2];
    for (int i = 0; i < octets.length; i++) {
      octets[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
    }
    return octets;
  }

  @CosemClass(id = 8, version = 0)
  public static final class Clock extends CosemInterfaceObject {
    @CosemAttribute(id = 2, type = Type.OCTET_STRING, accessMode = AttributeAccessMode.READ_AND_WRITE)
    private DataObject time = DataObject.newOctetStringData(hex("07E6070C0210361E00FF8880"));

    private int shifted;

    public Clock() {
      super("0.0.1.0.0.255");
    }

    public void setTime(DataObject value) {
      time = value;
    }

    /** Minutes from local time to UTC: here the seconds that the clock was shifted by, so that a test can read them. */
    @CosemAttribute(id = 3, type = Type.LONG_INTEGER, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject timeZone = DataObject.newInteger16Data((short) 0);

    @CosemMethod(id = 6, consumes = Type.LONG_INTEGER)
    public void shiftTime(DataObject seconds) {
      shifted += ((Number) seconds.getValue()).intValue();
      timeZone = DataObject.newInteger16Data((short) shifted);
    }
  }

  @CosemClass(id = 1, version = 0)
  public static final class Alarms extends CosemInterfaceObject {
    @CosemAttribute(id = 2, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_AND_WRITE)
    private DataObject value = DataObject.newUInteger32Data(0x2001);

    public Alarms() {
      super("0.0.97.98.0.255");
    }

    public void setValue(DataObject value) {
      this.value = value;
    }
  }

  @CosemClass(id = 70, version = 0)
  public static final class Relay extends CosemInterfaceObject {
    @CosemAttribute(id = 2, type = Type.BOOLEAN, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject output = DataObject.newBoolData(true);

    @CosemAttribute(id = 3, type = Type.ENUMERATE, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject control = DataObject.newEnumerateData(1);

    @CosemAttribute(id = 4, type = Type.ENUMERATE, accessMode = AttributeAccessMode.READ_AND_WRITE)
    private DataObject mode = DataObject.newEnumerateData(4);

    public Relay() {
      super("0.0.96.3.10.255");
    }

    public void setMode(DataObject value) {
      mode = value;
    }

    @CosemMethod(id = 1, consumes = Type.INTEGER)
    public void remoteDisconnect(DataObject nothing) {
      output = DataObject.newBoolData(false);
      control = DataObject.newEnumerateData(0);
    }

    @CosemMethod(id = 2, consumes = Type.INTEGER)
    public void remoteReconnect(DataObject nothing) {
      output = DataObject.newBoolData(true);
      control = DataObject.newEnumerateData(1);
    }
  }

  @CosemClass(id = 18, version = 0)
  public static final class Image extends CosemInterfaceObject {
    private final BitSet have = new BitSet();
    private byte[][] blocks = new byte[0][];
    private byte[] identifier = new byte[0];
    private byte[] hash = new byte[0];
    private int size;
    private int state;
    private boolean asked;

    @CosemAttribute(id = 2, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject blockSize = DataObject.newUInteger32Data(BLOCK);

    @CosemAttribute(id = 3, type = Type.BIT_STRING, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject bitmap;

    @CosemAttribute(id = 4, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject firstMissing;

    @CosemAttribute(id = 5, type = Type.BOOLEAN, accessMode = AttributeAccessMode.READ_AND_WRITE)
    private DataObject enabled = DataObject.newBoolData(false);

    @CosemAttribute(id = 6, type = Type.ENUMERATE, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject status;

    @CosemAttribute(id = 7, type = Type.ARRAY, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject toActivate;

    public Image() {
      super("0.0.44.0.0.255");
    }

    public void setEnabled(DataObject value) {
      enabled = value;
    }

    public DataObject getBitmap() {
      byte[] octets = new byte[(blocks.length + 7) / 8];
      for (int i = have.nextSetBit(0); i >= 0; i = have.nextSetBit(i + 1)) {
        octets[i / 8] |= (byte) (0x80 >> (i % 8));
      }
      return DataObject.newBitStringData(new BitString(octets, blocks.length));
    }

    public DataObject getFirstMissing() {
      return DataObject.newUInteger32Data(have.nextClearBit(0));
    }

    public DataObject getStatus() {
      int now = state;
      if (state == 2) {
        state = 3;
      }
      return DataObject.newEnumerateData(now);
    }

    public DataObject getToActivate() {
      List<DataObject> rows = new ArrayList<>();
      if (state >= 3) {
        rows.add(
            DataObject.newStructureData(
                DataObject.newUInteger32Data(size),
                DataObject.newOctetStringData(identifier),
                DataObject.newOctetStringData(hash)));
      }
      return DataObject.newArrayData(rows);
    }

    @CosemMethod(id = 1, consumes = Type.STRUCTURE)
    public void initiate(DataObject parameter) throws IllegalMethodAccessException {
      if (!((Boolean) enabled.getValue())) {
        throw new IllegalMethodAccessException(MethodResultCode.READ_WRITE_DENIED);
      }
      List<DataObject> fields = parameter.getValue();
      identifier = fields.get(0).getValue();
      size = ((Number) fields.get(1).getValue()).intValue();
      blocks = new byte[(size + BLOCK - 1) / BLOCK][];
      have.clear();
      state = 1;
      asked = false;
    }

    @CosemMethod(id = 2, consumes = Type.STRUCTURE)
    public void block(DataObject parameter) throws IllegalMethodAccessException {
      List<DataObject> fields = parameter.getValue();
      int number = ((Number) fields.get(0).getValue()).intValue();
      byte[] part = fields.get(1).getValue();
      int wanted = number == blocks.length - 1 ? size - number * BLOCK : BLOCK;
      if (state != 1 || number < 0 || number >= blocks.length || part.length != wanted) {
        throw new IllegalMethodAccessException(MethodResultCode.TYPE_UNMATCHED);
      }
      blocks[number] = part;
      have.set(number);
    }

    @CosemMethod(id = 3, consumes = Type.INTEGER)
    public void verify(DataObject nothing) throws IllegalMethodAccessException {
      if (have.cardinality() != blocks.length) {
        throw new IllegalMethodAccessException(MethodResultCode.OTHER_REASON);
      }
      try {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        for (byte[] part : blocks) {
          digest.update(part);
        }
        hash = digest.digest();
      } catch (NoSuchAlgorithmException never) {
        throw new IllegalMethodAccessException(MethodResultCode.HARDWARE_FAULT);
      }
      state = 2;
      if (!asked) {
        asked = true;
        throw new IllegalMethodAccessException(MethodResultCode.TEMPORARY_FAILURE);
      }
    }

    @CosemMethod(id = 4, consumes = Type.INTEGER)
    public void activate(DataObject nothing) {
      state = 6;
    }
  }

  @CosemClass(id = 72, version = 1)
  public static final class MBus extends CosemInterfaceObject {
    @CosemAttribute(id = 5, type = Type.UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject primary = DataObject.newUInteger8Data((short) 1);

    @CosemAttribute(id = 6, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject identification = DataObject.newUInteger32Data(0x87654321L);

    @CosemAttribute(id = 7, type = Type.LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject manufacturer = DataObject.newUInteger16Data(0x2C2D);

    @CosemAttribute(id = 9, type = Type.UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject type = DataObject.newUInteger8Data((short) 7);

    @CosemAttribute(id = 10, type = Type.UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject accessNumber = DataObject.newUInteger8Data((short) 0);

    @CosemAttribute(id = 14, type = Type.ENUMERATE, accessMode = AttributeAccessMode.READ_ONLY)
    private DataObject keyStatus = DataObject.newEnumerateData(0);

    public MBus() {
      super("0.1.24.1.0.255");
    }

    @CosemMethod(id = 3, consumes = Type.INTEGER)
    public void capture(DataObject nothing) {
      accessNumber = DataObject.newUInteger8Data((short) (((Number) accessNumber.getValue()).intValue() + 1));
    }

    @CosemMethod(id = 7, consumes = Type.OCTET_STRING)
    public void setKey(DataObject key) {
      keyStatus = DataObject.newEnumerateData(((byte[]) key.getValue()).length == 16 ? 1 : 0);
    }
  }
}
