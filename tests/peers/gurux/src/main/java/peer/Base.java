package peer;

import gurux.dlms.GXDLMSConnectionEventArgs;
import gurux.dlms.ValueEventArgs;
import gurux.dlms.enums.AccessMode;
import gurux.dlms.enums.Authentication;
import gurux.dlms.enums.InterfaceType;
import gurux.dlms.enums.MethodAccessMode;
import gurux.dlms.enums.ObjectType;
import gurux.dlms.enums.SourceDiagnostic;
import gurux.dlms.objects.GXDLMSClock;
import gurux.dlms.objects.GXDLMSObject;
import gurux.dlms.secure.GXDLMSSecureServer2;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;

/** What every meter here answers alike: to anyone, with the present time, and nothing more; and how it listens, on the wrapper. */
abstract class Base extends GXDLMSSecureServer2 {
  private final AccessMode access;

  Base(boolean logicalNames, AccessMode access) {
    super(logicalNames, InterfaceType.WRAPPER);
    this.access = access;
  }

  /** A port of its own on this machine. */
  static ServerSocket port() throws IOException {
    return new ServerSocket(0, 8, InetAddress.getLoopbackAddress());
  }

  /** Does it on a thread that ends with the process. */
  static void beside(Runnable work) {
    Thread thread = new Thread(work);
    thread.setDaemon(true);
    thread.start();
  }

  /** Ends the process with its input. */
  static void untilInputEnds() throws IOException {
    while (System.in.read() >= 0) {
      // until the test closes its end
    }
    System.exit(0);
  }

  /** The next frame of the wrapper, its header included. */
  static byte[] frame(DataInputStream in) throws IOException {
    byte[] head = new byte[8];
    in.readFully(head);
    byte[] frame = new byte[8 + ((head[6] & 0xFF) << 8 | head[7] & 0xFF)];
    System.arraycopy(head, 0, frame, 0, 8);
    in.readFully(frame, 8, frame.length - 8);
    return frame;
  }

  @Override
  protected boolean isTarget(int server, int client) {
    return server == 1;
  }

  @Override
  protected SourceDiagnostic onValidateAuthentication(Authentication authentication, byte[] password) {
    return SourceDiagnostic.NONE;
  }

  @Override
  protected GXDLMSObject onFindObject(ObjectType type, int shortName, String logicalName) {
    return null;
  }

  @Override
  protected AccessMode onGetAttributeAccess(ValueEventArgs arg) {
    return access;
  }

  @Override
  protected MethodAccessMode onGetMethodAccess(ValueEventArgs arg) {
    return MethodAccessMode.ACCESS;
  }

  @Override
  public void onPreRead(ValueEventArgs[] args) {
    for (ValueEventArgs arg : args) {
      if (arg.getTarget() instanceof GXDLMSClock clock && arg.getIndex() == 2) {
        clock.setTime(clock.now());
      }
    }
  }

  @Override
  public void onPreGet(ValueEventArgs[] args) {}

  @Override
  public void onPostGet(ValueEventArgs[] args) {}

  @Override
  public void onPostRead(ValueEventArgs[] args) {}

  @Override
  protected void onPreWrite(ValueEventArgs[] args) {}

  @Override
  protected void onPostWrite(ValueEventArgs[] args) {}

  @Override
  protected void onPreAction(ValueEventArgs[] args) throws Exception {}

  @Override
  protected void onPostAction(ValueEventArgs[] args) {}

  @Override
  protected void onConnected(GXDLMSConnectionEventArgs info) {}

  @Override
  protected void onInvalidConnection(GXDLMSConnectionEventArgs info) {}

  @Override
  protected void onDisconnected(GXDLMSConnectionEventArgs info) {}
}
